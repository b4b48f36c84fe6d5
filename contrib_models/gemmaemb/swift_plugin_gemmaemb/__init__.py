"""EmbeddingGemma 300M."""

from swift_core import Family, Modules

card = Family(
    name="gemma_emb",
    summary="EmbeddingGemma 300M.",
    architectures=("Gemma3TextModel",),
    config_types=("gemma3_text",),
    task="embedding",
    modules=Modules(language_model=("embed_tokens", "layers", "norm")),
    checkpoints={
        "dummy": """
google/embeddinggemma-300m
""",
    },
)
