"""Ling and Ring 2.5, 2.6 and 3.0: mixture of experts with linear attention."""

from swift_core import Family, Modules

card = Family(
    name="bailing_hybrid",
    summary="Ling and Ring 2.5, 2.6 and 3.0: mixture of experts with linear attention.",
    architectures=("BailingMoeV2_5ForCausalLM", "BailingMoeV3ForCausalLM"),
    config_types=("bailing_hybrid",),
    modules=Modules(language_model=("model", "lm_head")),
    native="BailingHybridForCausalLM",
    checkpoints={
        "ling2": """
inclusionAI/Ling-2.5-1T
inclusionAI/Ling-2.6-1T
inclusionAI/Ling-2.6-flash
""",
        "ling3": """
inclusionAI/Ling-3.0-tiny
inclusionAI/Ling-3.0-flash
""",
        "ring2_5": """
inclusionAI/Ring-2.5-1T
inclusionAI/Ring-2.6-1T
""",
    },
)
