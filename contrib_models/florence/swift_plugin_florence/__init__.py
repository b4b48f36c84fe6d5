"""Florence-2: captions, boxes and text in pictures by task prompts."""

from swift_core import Family, Modules, Unsupported

card = Family(
    name="florence",
    bbox="florence",
    summary="Florence-2: captions, boxes and text in pictures by task prompts.",
    architectures=("Florence2ForConditionalGeneration",),
    config_types=("florence2",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    capabilities={
        "trainer": Unsupported(
            "its encoder reads the question and its decoder writes the answer, and no installed trainer splits rows so"
        )
    },
    checkpoints={
        "florence": """
AI-ModelScope/Florence-2-base-ft = microsoft/Florence-2-base-ft
AI-ModelScope/Florence-2-base = microsoft/Florence-2-base
AI-ModelScope/Florence-2-large = microsoft/Florence-2-large
AI-ModelScope/Florence-2-large-ft = microsoft/Florence-2-large-ft
""",
    },
)
