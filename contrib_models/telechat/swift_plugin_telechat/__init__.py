"""TeleChat 1, and TeleChat 2 in the same form."""

from swift_core import Family, Modules

card = Family(
    name="telechat",
    summary="TeleChat 1, and TeleChat 2 in the same form.",
    architectures=("TelechatForCausalLM", "TeleChatForCausalLM"),
    modules=Modules(language_model=("transformer", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no TelechatForCausalLM",
    checkpoints={
        "telechat": """
TeleAI/TeleChat-7B = Tele-AI/telechat-7B
TeleAI/TeleChat-12B = Tele-AI/TeleChat-12B
TeleAI/TeleChat-12B-v2 = Tele-AI/TeleChat-12B-v2
TeleAI/TeleChat-52B
swift/TeleChat-12B-V2-GPTQ-Int4 =
TeleAI/TeleChat2-35B = Tele-AI/TeleChat2-35B
TeleAI/TeleChat2-115B = Tele-AI/TeleChat2-115B
""",
    },
)
