"""Emu3-Chat: pictures as tokens, next-token prediction alone."""

from swift_core import Family, Modules

card = Family(
    name="emu3_chat",
    summary="Emu3-Chat: pictures as tokens, next-token prediction alone.",
    architectures=("Emu3ForCausalLM",),
    config_types=("emu3",),
    modality=("text", "image"),
    modules=Modules(language_model=("model", "lm_head"), vision_tower=("model.vqmodel",)),
    remote_code="its picture tokenizer lies in the checkpoint; transformers' class of that name reads text alone",
    native="Emu3ForConditionalGeneration",
    checkpoints={
        "emu3_chat": """
BAAI/Emu3-Chat
""",
    },
)
