"""DeepSeek-OCR 2: documents in reading order."""

from typing import Any

from swift_core import Family, Modules, hookimpl


class DeepseekOCR2(Family):
    """Its code writes picture features into the embeddings in place, which autograd refuses."""

    @hookimpl
    def patch_model(self, model: Any) -> None:
        from swift_plugin_runtime.loading.repairs import in_place_writes

        in_place_writes(model, "model.embed_tokens")


card = DeepseekOCR2(
    name="deepseek_ocr2",
    summary="DeepSeek-OCR 2: documents in reading order.",
    architectures=("DeepseekOCR2ForCausalLM",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.layers",),
        aligner=("model.projector",),
        vision_tower=("model.sam_model", "model.qwen2_model"),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no DeepseekOCR2ForCausalLM",
    native="DeepseekOcr2ForConditionalGeneration",
    requires=("easydict", "transformers==4.46.3"),
    checkpoints={
        "deepseek_ocr2": """
deepseek-ai/DeepSeek-OCR-2
""",
    },
)
