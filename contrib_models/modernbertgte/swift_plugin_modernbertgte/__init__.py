"""GTE embeddings on ModernBERT."""

from swift_core import Family, Modules

card = Family(
    name="modern_bert_gte",
    summary="GTE embeddings on ModernBERT.",
    architectures=("ModernBertModel",),
    config_types=("modernbert",),
    task="embedding",
    modules=Modules(language_model=("embeddings", "layers", "final_norm")),
    checkpoints={
        "dummy": """
iic/gte-modernbert-base = Alibaba-NLP/gte-modernbert-base
""",
    },
)
