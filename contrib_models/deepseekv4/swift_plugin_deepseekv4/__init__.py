"""DeepSeek-V4, Flash and Pro."""

from swift_core import Family, Modules

card = Family(
    name="deepseek_v4",
    summary="DeepSeek-V4, Flash and Pro.",
    architectures=("DeepseekV4ForCausalLM",),
    config_types=("deepseek_v4",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "deepseek_v4": """
deepseek-ai/DeepSeek-V4-Flash
deepseek-ai/DeepSeek-V4-Flash-Base
deepseek-ai/DeepSeek-V4-Pro
deepseek-ai/DeepSeek-V4-Pro-Base
""",
        "deepseek_v4_flash": """
deepseek-ai/DeepSeek-V4-Flash-0731
deepseek-ai/DeepSeek-V4-Pro-0813
""",
    },
)
