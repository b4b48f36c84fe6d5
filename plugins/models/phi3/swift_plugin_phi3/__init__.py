"""Phi-3, Phi-3.5 mini and Phi-4 mini."""

from swift_core import Family, Modules

card = Family(
    name="phi3",
    summary="Phi-3, Phi-3.5 mini and Phi-4 mini.",
    architectures=("Phi3ForCausalLM",),
    config_types=("phi3",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "phi3": """
LLM-Research/Phi-3-mini-4k-instruct = microsoft/Phi-3-mini-4k-instruct
LLM-Research/Phi-3-mini-128k-instruct = microsoft/Phi-3-mini-128k-instruct
LLM-Research/Phi-3-medium-4k-instruct = microsoft/Phi-3-medium-4k-instruct
LLM-Research/Phi-3-medium-128k-instruct = microsoft/Phi-3-medium-128k-instruct
LLM-Research/Phi-3.5-mini-instruct = microsoft/Phi-3.5-mini-instruct
LLM-Research/Phi-4-mini-instruct = microsoft/Phi-4-mini-instruct
""",
    },
)
