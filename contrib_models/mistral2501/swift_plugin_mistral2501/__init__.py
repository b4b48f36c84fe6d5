"""Mistral Small 3 24B."""

from swift_core import Family, Modules

card = Family(
    name="mistral_2501",
    summary="Mistral Small 3 24B.",
    architectures=("MistralForCausalLM",),
    config_types=("mistral",),
    tells={"vocab_size": 131072, "intermediate_size": 32768, "max_position_embeddings": 32768},
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "mistral_2501": """
mistralai/Mistral-Small-24B-Base-2501
mistralai/Mistral-Small-24B-Instruct-2501
""",
    },
)
