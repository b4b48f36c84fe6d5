"""Aya Expanse: Cohere's multilingual chat models."""

from swift_core import Family, Modules

card = Family(
    name="aya",
    summary="Aya Expanse: Cohere's multilingual chat models.",
    architectures=("CohereForCausalLM",),
    config_types=("cohere",),
    named=("aya",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "aya": """
AI-ModelScope/aya-expanse-8b = CohereForAI/aya-expanse-8b
AI-ModelScope/aya-expanse-32b = CohereForAI/aya-expanse-32b
""",
    },
)
