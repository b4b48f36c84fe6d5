"""AFM: a foundation model for companies (Arcee)."""

from swift_core import Family, Modules

card = Family(
    name="arcee",
    summary="AFM: a foundation model for companies (Arcee).",
    architectures=("ArceeForCausalLM",),
    config_types=("arcee",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "chatml": """
= arcee-ai/AFM-4.5B
= arcee-ai/AFM-4.5B-Base
""",
    },
)
