"""Phi-3.5-MoE."""

from swift_core import Family, Modules

card = Family(
    name="phi3_moe",
    summary="Phi-3.5-MoE.",
    architectures=("PhiMoEForCausalLM",),
    config_types=("phimoe",),
    modules=Modules(language_model=("model", "lm_head")),
    native="PhimoeForCausalLM",
    checkpoints={
        "phi3": """
LLM-Research/Phi-3.5-MoE-instruct = microsoft/Phi-3.5-MoE-instruct
""",
    },
)
