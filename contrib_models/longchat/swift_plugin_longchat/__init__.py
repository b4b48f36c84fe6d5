"""LongCat-Flash: experts that may do nothing."""

from swift_core import Family, Modules

card = Family(
    name="longchat",
    summary="LongCat-Flash: experts that may do nothing.",
    architectures=("LongcatFlashForCausalLM",),
    config_types=("longcat_flash",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "longchat": """
meituan-longcat/LongCat-Flash-Chat
meituan-longcat/LongCat-Flash-Chat-FP8
""",
    },
)
