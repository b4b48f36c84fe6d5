"""PaddleOCR-VL, the first release."""

from swift_core import Family, Modules

card = Family(
    name="paddle_ocr",
    summary="PaddleOCR-VL, the first release.",
    architectures=("PaddleOCRVLForConditionalGeneration",),
    config_types=("paddleocr_vl",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"), aligner=("model.projector",), vision_tower=("model.visual",)
    ),
    checkpoints={
        "paddle_ocr": """
PaddlePaddle/PaddleOCR-VL
""",
    },
)
