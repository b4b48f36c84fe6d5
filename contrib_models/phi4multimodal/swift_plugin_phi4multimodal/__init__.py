"""Phi-4 multimodal: pictures and speech by adapters."""

from swift_core import Family, Modules

card = Family(
    name="phi4_multimodal",
    summary="Phi-4 multimodal: pictures and speech by adapters.",
    architectures=("Phi4MMForCausalLM",),
    modality=("text", "image", "audio"),
    modules=Modules(
        language_model=("model.layers", "lm_head"),
        aligner=(
            "model.embed_tokens_extend.image_embed.img_projection",
            "model.embed_tokens_extend.audio_embed.audio_projection",
        ),
        vision_tower=("model.embed_tokens_extend.image_embed.img_processor",),
        audio_tower=("model.embed_tokens_extend.audio_embed.encoder",),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no Phi4MMForCausalLM",
    native="Phi4MultimodalForCausalLM",
    requires=("backoff", "soundfile", "transformers<4.49"),
    checkpoints={
        "phi4_multimodal": """
LLM-Research/Phi-4-multimodal-instruct = microsoft/Phi-4-multimodal-instruct
""",
    },
)
