"""PaddleOCR-VL 1.5 and 1.6."""

from swift_core import Family, Modules

card = Family(
    name="paddleocr_vl",
    summary="PaddleOCR-VL 1.5 and 1.6.",
    architectures=("PaddleOCRVLForConditionalGeneration",),
    config_types=("paddleocr_vl",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"), aligner=("model.projector",), vision_tower=("model.visual",)
    ),
    checkpoints={
        "paddle_ocr_1_5": """
PaddlePaddle/PaddleOCR-VL-1.5
PaddlePaddle/PaddleOCR-VL-1.6
""",
    },
)
