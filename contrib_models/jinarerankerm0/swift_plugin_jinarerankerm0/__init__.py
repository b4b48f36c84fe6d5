"""Jina Reranker m0: ranks pages that are text or pictures."""

from swift_core import Family, Modules

card = Family(
    name="jina_reranker_m0",
    summary="Jina Reranker m0: ranks pages that are text or pictures.",
    architectures=("JinaRerankerM0ForConditionalGeneration",),
    modality=("text", "image"),
    task="reranker",
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.visual.merger",),
        vision_tower=("model.visual",),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no JinaRerankerM0ForConditionalGeneration",
    checkpoints={
        "jina_reranker_m0": """
JinaAI/jina-reranker-m0
""",
    },
)
