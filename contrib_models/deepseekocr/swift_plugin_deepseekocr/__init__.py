"""DeepSeek-OCR: documents as few vision tokens."""

from swift_core.models import Family, Modules

card = Family(
    name="deepseek_ocr",
    summary="DeepSeek-OCR: documents as few vision tokens.",
    architectures=("DeepseekOCRForCausalLM",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.layers",),
        aligner=("model.projector",),
        vision_tower=("model.sam_model", "model.vision_model"),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no DeepseekOCRForCausalLM",
    requires=("easydict", "transformers==4.46.3"),
    checkpoints={
        "deepseek_ocr": """
deepseek-ai/DeepSeek-OCR
""",
    },
)
