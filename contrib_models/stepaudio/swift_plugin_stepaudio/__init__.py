"""Step-Audio 130B: speech in and out."""

from swift_core import Family, Modules

card = Family(
    name="step_audio",
    summary="Step-Audio 130B: speech in and out.",
    architectures=("Step1ForCausalLM",),
    modality=("text", "audio"),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no Step1ForCausalLM",
    requires=("conformer", "funasr", "librosa", "openai-whisper", "sox"),
    checkpoints={
        "step_audio": """
stepfun-ai/Step-Audio-Chat
""",
    },
)
