"""GTE embeddings on Qwen2."""

from swift_core import Family, Modules

card = Family(
    name="qwen2_gte",
    summary="GTE embeddings on Qwen2.",
    architectures=("Qwen2ForCausalLM",),
    config_types=("qwen2",),
    tells={"is_causal": False},
    task="embedding",
    modules=Modules(language_model=("embed_tokens", "layers", "norm")),
    checkpoints={
        "dummy": """
iic/gte_Qwen2-1.5B-instruct = Alibaba-NLP/gte-Qwen2-1.5B-instruct
iic/gte_Qwen2-7B-instruct = Alibaba-NLP/gte-Qwen2-7B-instruct
""",
    },
)
