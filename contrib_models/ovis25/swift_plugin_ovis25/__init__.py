"""Ovis 2.5: native resolution and reflection."""

from swift_core import Family, Modules

card = Family(
    name="ovis2_5",
    summary="Ovis 2.5: native resolution and reflection.",
    architectures=("Ovis2_5",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("llm",), aligner=("visual_tokenizer.head",), vision_tower=("visual_tokenizer.vit", "vte")
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no Ovis2_5",
    requires=("moviepy<2",),
    checkpoints={
        "ovis2_5": """
AIDC-AI/Ovis2.5-2B
AIDC-AI/Ovis2.5-9B
""",
    },
)
