"""Molmo 2: points and tracks in pictures and videos."""

from swift_core.models import Family, Modules

card = Family(
    name="molmo2",
    summary="Molmo 2: points and tracks in pictures and videos.",
    architectures=("Molmo2ForConditionalGeneration",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.transformer", "lm_head"),
        aligner=("model.vision_backbone.image_projector",),
        vision_tower=("model.vision_backbone",),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no Molmo2ForConditionalGeneration",
    requires=("decord", "transformers<5"),
    checkpoints={
        "molmo2": """
allenai/Molmo2-4B
allenai/Molmo2-8B
allenai/Molmo2-O-7B
""",
    },
)
