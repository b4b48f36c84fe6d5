"""StructBERT: an encoder for classification."""

from swift_core import Family, Modules

card = Family(
    name="bert",
    summary="StructBERT: an encoder for classification.",
    config_types=("bert",),
    task="seq_cls",
    modules=Modules(language_model=("bert", "classifier")),
    native="BertForSequenceClassification",
    checkpoints={
        "dummy": """
iic/nlp_structbert_backbone_base_std =
""",
    },
)
