"""Text embeddings on BERT: all-MiniLM and their like."""

from swift_core import Family, Modules

card = Family(
    name="bert_emb",
    summary="Text embeddings on BERT: all-MiniLM and their like.",
    architectures=("BertModel",),
    config_types=("bert",),
    task="embedding",
    modules=Modules(language_model=("embeddings", "encoder", "pooler")),
    extra_files=("config_sentence_transformers.json", "sentence_bert_config.json", "1_Pooling", "modules.json"),
    checkpoints={
        "dummy": """
= sentence-transformers/all-MiniLM-L6-v2
= sentence-transformers/all-MiniLM-L12-v2
= sentence-transformers/multi-qa-MiniLM-L6-cos-v1
= BAAI/bge-small-en-v1.5
= BAAI/bge-base-en-v1.5
= BAAI/bge-large-en-v1.5
""",
    },
)
