"""OLMoE 1B-7B: open mixture of experts."""

from swift_core import Family, Modules

card = Family(
    name="olmoe",
    summary="OLMoE 1B-7B: open mixture of experts.",
    architectures=("OlmoeForCausalLM",),
    config_types=("olmoe",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "olmoe": """
allenai/OLMoE-1B-7B-0125
allenai/OLMoE-1B-7B-0125-Instruct
""",
        "olmoe_0924": """
allenai/OLMoE-1B-7B-0924
allenai/OLMoE-1B-7B-0924-Instruct
allenai/OLMoE-1B-7B-0924-SFT
""",
    },
)
