"""Devstral Small: an agent for software engineering on Mistral Small."""

from swift_core import Family, Modules

card = Family(
    name="devstral",
    summary="Devstral Small: an agent for software engineering on Mistral Small.",
    architectures=("MistralForCausalLM",),
    config_types=("mistral",),
    tells={"vocab_size": 131072, "intermediate_size": 32768, "max_position_embeddings": 131072},
    modules=Modules(language_model=("model", "lm_head")),
    requires=("mistral-common>=1.5.5",),
    checkpoints={
        "devstral": """
mistralai/Devstral-Small-2505
""",
    },
)
