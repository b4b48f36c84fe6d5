"""TeleChat 2, 3B to 35B."""

from swift_core import Family, Modules

card = Family(
    name="telechat2",
    summary="TeleChat 2, 3B to 35B.",
    architectures=("TeleChat2ForCausalLM",),
    modules=Modules(language_model=("transformer", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no TeleChat2ForCausalLM",
    checkpoints={
        "telechat2": """
TeleAI/TeleChat2-3B = Tele-AI/TeleChat2-3B
TeleAI/TeleChat2-7B-32K = Tele-AI/TeleChat2-7B-32K
TeleAI/TeleChat2-35B-32K = Tele-AI/TeleChat2-35B-32K
TeleAI/TeleChat2-35B-Nov = Tele-AI/TeleChat2-35B-Nov
""",
    },
)
