"""GTE reranker on ModernBERT."""

from swift_core import Family, Modules

card = Family(
    name="modern_bert_gte_reranker",
    summary="GTE reranker on ModernBERT.",
    architectures=("ModernBertForSequenceClassification",),
    config_types=("modernbert",),
    task="reranker",
    modules=Modules(language_model=("model", "head", "classifier")),
    checkpoints={
        "bert": """
iic/gte-reranker-modernbert-base = Alibaba-NLP/gte-reranker-modernbert-base
""",
    },
)
