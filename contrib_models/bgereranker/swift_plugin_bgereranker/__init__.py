"""BGE rerankers on XLM-RoBERTa."""

from swift_core import Family, Modules

card = Family(
    name="bge_reranker",
    summary="BGE rerankers on XLM-RoBERTa.",
    architectures=("XLMRobertaForSequenceClassification",),
    config_types=("xlm-roberta",),
    task="reranker",
    modules=Modules(language_model=("roberta", "classifier")),
    checkpoints={
        "bge_reranker": """
BAAI/bge-reranker-base
BAAI/bge-reranker-v2-m3
BAAI/bge-reranker-large
""",
    },
)
