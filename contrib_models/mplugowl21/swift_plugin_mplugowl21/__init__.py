"""mPLUG-Owl2.1 on Qwen 7B."""

from swift_core import Family, Modules

card = Family(
    name="mplug_owl2_1",
    summary="mPLUG-Owl2.1 on Qwen 7B.",
    modality=("text", "image"),
    modules=Modules(
        language_model=("transformer.h", "lm_head"),
        aligner=("transformer.visual_abstractor",),
        vision_tower=("transformer.vision_model",),
    ),
    remote_code="its code is the mplug_owl2 repository, which must be on the path",
    requires=("icecream", "transformers<4.35"),
    checkpoints={
        "mplug_owl2": """
iic/mPLUG-Owl2.1 = Mizukiluke/mplug_owl_2_1
""",
    },
)
