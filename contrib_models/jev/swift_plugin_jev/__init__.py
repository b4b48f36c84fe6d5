"""JEV 27B: a verbalizer scorer on Qwen3.5 that decides among options."""

from swift_core import Family, Modules, Unsupported

card = Family(
    name="jev",
    summary="JEV 27B: a verbalizer scorer on Qwen3.5 that decides among options.",
    modality=("text", "image"),
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
        "jev": """
autotrust/JEV-27B-VL
""",
    },
)
