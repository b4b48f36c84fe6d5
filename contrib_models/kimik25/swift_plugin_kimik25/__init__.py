"""Kimi K2.5 to K2.7: pictures and videos on Kimi K2."""

from swift_core import Family, Modules

card = Family(
    name="kimi_k25",
    summary="Kimi K2.5 to K2.7: pictures and videos on Kimi K2.",
    architectures=("KimiK25ForConditionalGeneration",),
    config_types=("kimi_k25",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.mm_projector",),
        vision_tower=("model.vision_tower",),
    ),
    native="Kimi_K25ForConditionalGeneration",
    checkpoints={
        "kimi_k25": """
moonshotai/Kimi-K2.5
moonshotai/Kimi-K2.6
moonshotai/Kimi-K2.7-Code
""",
    },
)
