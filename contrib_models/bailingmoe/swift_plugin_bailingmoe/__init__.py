"""Ling and Ring 2.0: sparse mixture of experts."""

from swift_core import Family, Modules

card = Family(
    name="bailing_moe",
    summary="Ling and Ring 2.0: sparse mixture of experts.",
    architectures=("BailingMoeV2ForCausalLM",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no BailingMoeV2ForCausalLM",
    checkpoints={
        "ling2": """
inclusionAI/Ling-mini-2.0
inclusionAI/Ling-mini-base-2.0
inclusionAI/Ling-1T
""",
        "ring2": """
inclusionAI/Ring-mini-2.0
""",
    },
)
