"""LLaVA-NeXT on Llama 3 8B, original form."""

from swift_core import Family, Modules

card = Family(
    name="llama3_llava_next",
    summary="LLaVA-NeXT on Llama 3 8B, original form.",
    architectures=("LlavaLlamaForCausalLM",),
    tells={"vocab_size": 128256},
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.layers",), aligner=("model.mm_projector",), vision_tower=("model.vision_tower",)
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no LlavaLlamaForCausalLM",
    native="LlavaNextForConditionalGeneration",
    requires=("av",),
    checkpoints={
        "llama3_llava_next": """
AI-ModelScope/llama3-llava-next-8b = lmms-lab/llama3-llava-next-8b
""",
    },
)
