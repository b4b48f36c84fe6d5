"""Kimi Linear: linear attention with experts (Moonshot AI)."""

from swift_core import Family, Modules

card = Family(
    name="kimi_linear",
    summary="Kimi Linear: linear attention with experts (Moonshot AI).",
    architectures=("KimiLinearForCausalLM",),
    config_types=("kimi_linear",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "kimi_k2": """
= moonshotai/Kimi-Linear-48B-A3B-Base
= moonshotai/Kimi-Linear-48B-A3B-Instruct
""",
    },
)
