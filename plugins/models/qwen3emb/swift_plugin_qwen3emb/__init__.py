"""Qwen3 Embedding, 0.6B to 8B."""

from swift_core import Family, Modules

card = Family(
    name="qwen3_emb",
    summary="Qwen3 Embedding, 0.6B to 8B.",
    architectures=("Qwen3ForCausalLM",),
    config_types=("qwen3",),
    named=("embedding",),
    task="embedding",
    modules=Modules(language_model=("embed_tokens", "layers", "norm")),
    extra_files=("config_sentence_transformers.json", "1_Pooling", "modules.json"),
    checkpoints={
        "qwen3_emb": """
Qwen/Qwen3-Embedding-0.6B
Qwen/Qwen3-Embedding-4B
Qwen/Qwen3-Embedding-8B
""",
    },
)
