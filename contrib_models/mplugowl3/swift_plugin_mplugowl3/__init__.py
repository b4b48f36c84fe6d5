"""mPLUG-Owl3: long sequences of pictures and videos."""

from swift_core import Family, Modules

card = Family(
    name="mplug_owl3",
    summary="mPLUG-Owl3: long sequences of pictures and videos.",
    architectures=("mPLUGOwl3Model",),
    modality=("text", "image", "video"),
    modules=Modules(language_model=("language_model",), aligner=("vision2text_model",), vision_tower=("vision_model",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no mPLUGOwl3Model",
    requires=("decord", "icecream"),
    checkpoints={
        "mplug_owl3": """
iic/mPLUG-Owl3-1B-241014 = mPLUG/mPLUG-Owl3-1B-241014
iic/mPLUG-Owl3-2B-241014 = mPLUG/mPLUG-Owl3-2B-241014
iic/mPLUG-Owl3-7B-240728 = mPLUG/mPLUG-Owl3-7B-240728
""",
    },
)
