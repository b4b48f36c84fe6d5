"""StarCoder2: base models of code (BigCode)."""

from swift_core import Family, Modules

card = Family(
    name="starcoder2",
    summary="StarCoder2: base models of code (BigCode).",
    architectures=("Starcoder2ForCausalLM",),
    config_types=("starcoder2",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "default": """
= bigcode/starcoder2-3b
= bigcode/starcoder2-7b
= bigcode/starcoder2-15b
""",
    },
)
