"""OmniJEV: a scorer over pictures, videos and audio that decides among options."""

from swift_core import Family, Modules, Unsupported

card = Family(
    name="omnijev",
    summary="OmniJEV: a scorer over pictures, videos and audio that decides among options.",
    modality=("text", "image", "video", "audio"),
    task="decision",
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.visual.merger",),
        vision_tower=("model.visual",),
    ),
    capabilities={
        "trainer": Unsupported(
            "its scoring head decides among options with a loss of its own, which no installed trainer has"
        )
    },
    checkpoints={
        "omnijev": """
AI-ModelScope/OmniJev
""",
    },
)
