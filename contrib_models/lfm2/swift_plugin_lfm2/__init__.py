"""LFM2: convolutions and attention, for phones and laptops (Liquid AI)."""

from swift_core import Family, Modules

card = Family(
    name="lfm2",
    summary="LFM2: convolutions and attention, for phones and laptops (Liquid AI).",
    architectures=("Lfm2ForCausalLM",),
    config_types=("lfm2",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "lfm2": """
= LiquidAI/LFM2-350M
= LiquidAI/LFM2-700M
= LiquidAI/LFM2-1.2B
= LiquidAI/LFM2-2.6B
""",
        "lfm2_5": """
= LiquidAI/LFM2.5-230M
= LiquidAI/LFM2.5-1.2B-Base
= LiquidAI/LFM2.5-1.2B-Instruct
= LiquidAI/LFM2.5-1.2B-Thinking
""",
    },
)
