"""OvisOCR 2: documents on Qwen3.5."""

from swift_core import Family, Modules

card = Family(
    name="ovis_ocr2",
    summary="OvisOCR 2: documents on Qwen3.5.",
    architectures=("Qwen3_5ForConditionalGeneration",),
    config_types=("qwen3_5",),
    named=("ovisocr", "ovisocr2"),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.visual.merger",),
        vision_tower=("model.visual",),
    ),
    checkpoints={
        "ovis_ocr2": """
ATH-MaaS/OvisOCR2
""",
    },
)
