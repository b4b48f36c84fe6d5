"""LFM2 with experts (Liquid AI)."""

from swift_core import Family, Modules

card = Family(
    name="lfm2_moe",
    summary="LFM2 with experts (Liquid AI).",
    architectures=("Lfm2MoeForCausalLM",),
    config_types=("lfm2_moe",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "lfm2": """
= LiquidAI/LFM2-8B-A1B
""",
    },
)
