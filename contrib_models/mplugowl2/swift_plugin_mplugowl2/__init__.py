"""mPLUG-Owl2 on Llama 2 7B."""

from swift_core import Family, Modules

card = Family(
    name="mplug_owl2",
    summary="mPLUG-Owl2 on Llama 2 7B.",
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.layers", "lm_head"),
        aligner=("model.visual_abstractor",),
        vision_tower=("model.vision_model",),
    ),
    remote_code="its code is the mplug_owl2 repository, which must be on the path",
    requires=("icecream", "transformers<4.35"),
    checkpoints={
        "mplug_owl2": """
iic/mPLUG-Owl2 = MAGAer13/mplug-owl2-llama2-7b
""",
    },
)
