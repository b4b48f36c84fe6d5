"""Ling Lite and Plus: mixture of experts."""

from swift_core import Family, Modules

card = Family(
    name="ling",
    summary="Ling Lite and Plus: mixture of experts.",
    architectures=("BailingMoeForCausalLM",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no BailingMoeForCausalLM",
    checkpoints={
        "ling": """
inclusionAI/Ling-lite
inclusionAI/Ling-plus
inclusionAI/Ling-lite-base
inclusionAI/Ling-plus-base
""",
    },
)
