"""MiniCPM-MoE 8x2B."""

from swift_core import Family, Modules

card = Family(
    name="minicpm_moe",
    summary="MiniCPM-MoE 8x2B.",
    architectures=("MiniCPMForCausalLM",),
    tells={"num_experts": True},
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no MiniCPMForCausalLM",
    checkpoints={
        "minicpm": """
OpenBMB/MiniCPM-MoE-8x2B = openbmb/MiniCPM-MoE-8x2B
""",
    },
)
