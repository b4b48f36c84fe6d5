"""LLaMA-Omni: speech in and out on Llama 3.1 8B."""

from swift_core import Family, Modules

card = Family(
    name="llama3_1_omni",
    summary="LLaMA-Omni: speech in and out on Llama 3.1 8B.",
    architectures=("OmniSpeech2SLlamaForCausalLM",),
    modality=("text", "audio"),
    modules=Modules(
        language_model=("model.layers", "lm_head"),
        aligner=("model.speech_projector",),
        audio_tower=("model.speech_encoder",),
        generator=("speech_generator",),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no OmniSpeech2SLlamaForCausalLM",
    requires=("openai-whisper",),
    checkpoints={
        "llama3_1_omni": """
ICTNLP/Llama-3.1-8B-Omni
""",
    },
)
