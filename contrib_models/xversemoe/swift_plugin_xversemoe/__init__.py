"""XVERSE-MoE A4.2B."""

from swift_core import Family, Modules

card = Family(
    name="xverse_moe",
    summary="XVERSE-MoE A4.2B.",
    architectures=("XverseForCausalLM",),
    tells={"num_experts": True},
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no XverseForCausalLM",
    checkpoints={
        "xverse": """
xverse/XVERSE-MoE-A4.2B
""",
    },
)
