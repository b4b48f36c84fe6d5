"""Phi-2: 2.7B, trained on textbooks."""

from swift_core import Family, Modules

card = Family(
    name="phi2",
    summary="Phi-2: 2.7B, trained on textbooks.",
    architectures=("PhiForCausalLM",),
    config_types=("phi",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "default": """
AI-ModelScope/phi-2 = microsoft/phi-2
""",
    },
)
