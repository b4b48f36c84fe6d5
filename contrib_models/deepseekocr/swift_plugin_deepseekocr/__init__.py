"""DeepSeek-OCR: documents as few vision tokens."""

from typing import Any

from swift_core import Family, Modules, hookimpl


class DeepseekOCR(Family):
    """Its code writes picture features into the embeddings in place, which autograd refuses."""

    @hookimpl
    def patch_model(self, model: Any) -> None:
        from swift_plugin_runtime.loading.repairs import in_place_writes

        in_place_writes(model, "model.embed_tokens")


card = DeepseekOCR(
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
