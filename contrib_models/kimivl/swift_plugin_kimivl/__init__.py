"""Kimi-VL: pictures at native resolution on Moonlight."""

from swift_core import Family, Modules

card = Family(
    name="kimi_vl",
    summary="Kimi-VL: pictures at native resolution on Moonlight.",
    architectures=("KimiVLForConditionalGeneration",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("language_model",), aligner=("multi_modal_projector",), vision_tower=("vision_tower",)
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no KimiVLForConditionalGeneration",
    requires=("transformers<4.49",),
    checkpoints={
        "kimi_vl": """
moonshotai/Kimi-VL-A3B-Instruct
moonshotai/Kimi-VL-A3B-Thinking
moonshotai/Kimi-VL-A3B-Thinking-2506
""",
    },
)
