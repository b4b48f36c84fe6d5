"""Phi-4 14B."""

from swift_core import Family, Modules

card = Family(
    name="phi4",
    summary="Phi-4 14B.",
    architectures=("Phi3ForCausalLM",),
    config_types=("phi3",),
    tells={"vocab_size": 100352},
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "phi4": """
LLM-Research/phi-4 = microsoft/phi-4
""",
    },
)
