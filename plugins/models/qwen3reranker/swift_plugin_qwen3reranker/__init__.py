"""Qwen3 Reranker: answers yes or no about relevance."""

from swift_core import Family, Modules

card = Family(
    name="qwen3_reranker",
    summary="Qwen3 Reranker: answers yes or no about relevance.",
    architectures=("Qwen3ForCausalLM",),
    config_types=("qwen3",),
    named=("reranker",),
    task="generative_reranker",
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "qwen3_reranker": """
Qwen/Qwen3-Reranker-0.6B
Qwen/Qwen3-Reranker-4B
Qwen/Qwen3-Reranker-8B
""",
    },
)
