"""ModernBERT: a long encoder for classification."""

from swift_core import Family, Modules

card = Family(
    name="modern_bert",
    summary="ModernBERT: a long encoder for classification.",
    architectures=("ModernBertForMaskedLM",),
    config_types=("modernbert",),
    task="seq_cls",
    modules=Modules(language_model=("model", "head", "classifier")),
    native="ModernBertForSequenceClassification",
    checkpoints={
        "dummy": """
answerdotai/ModernBERT-base
answerdotai/ModernBERT-large
""",
    },
)
