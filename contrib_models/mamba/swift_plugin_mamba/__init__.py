"""Mamba: selective state spaces without attention."""

from swift_core import Family, Modules

card = Family(
    name="mamba",
    summary="Mamba: selective state spaces without attention.",
    architectures=("MambaForCausalLM",),
    config_types=("mamba",),
    modules=Modules(language_model=("backbone", "lm_head")),
    checkpoints={
        "default": """
AI-ModelScope/mamba-130m-hf = state-spaces/mamba-130m-hf
AI-ModelScope/mamba-370m-hf = state-spaces/mamba-370m-hf
AI-ModelScope/mamba-390m-hf = state-spaces/mamba-390m-hf
AI-ModelScope/mamba-790m-hf = state-spaces/mamba-790m-hf
AI-ModelScope/mamba-1.4b-hf = state-spaces/mamba-1.4b-hf
AI-ModelScope/mamba-2.8b-hf = state-spaces/mamba-2.8b-hf
""",
    },
)
