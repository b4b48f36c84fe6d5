"""Muse Glimmer 30B: pictures and videos."""

from swift_core import Family, Modules

card = Family(
    name="muse_glimmer",
    summary="Muse Glimmer 30B: pictures and videos.",
    architectures=("MuseGlimmerForConditionalGeneration",),
    config_types=("muse_glimmer",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.vision_adapter", "model.vision_projection"),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "muse_glimmer": """
meta-models/Muse-Glimmer-30B
""",
    },
)
