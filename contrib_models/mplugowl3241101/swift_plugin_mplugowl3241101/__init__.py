"""mPLUG-Owl3 of November 2024."""

from swift_core import Family, Modules

card = Family(
    name="mplug_owl3_241101",
    summary="mPLUG-Owl3 of November 2024.",
    architectures=("mPLUGOwl3Model",),
    named=("241101",),
    modality=("text", "image", "video"),
    modules=Modules(language_model=("language_model",), aligner=("vision2text_model",), vision_tower=("vision_model",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no mPLUGOwl3Model",
    requires=("icecream",),
    checkpoints={
        "mplug_owl3_241101": """
iic/mPLUG-Owl3-7B-241101 = mPLUG/mPLUG-Owl3-7B-241101
""",
    },
)
