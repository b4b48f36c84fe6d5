"""Unlimited-OCR: long documents."""

from typing import Any

from swift_core import Family, Modules, hookimpl


class UnlimitedOCR(Family):
    """Its code writes picture features into the embeddings in place, which autograd refuses."""

    @hookimpl
    def patch_model(self, model: Any) -> None:
        from swift_plugin_runtime.loading.repairs import in_place_writes

        in_place_writes(model, "model.embed_tokens")


card = UnlimitedOCR(
    name="unlimited_ocr",
    summary="Unlimited-OCR: long documents.",
    architectures=("UnlimitedOCRForCausalLM",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.embed_tokens", "model.layers", "model.norm", "lm_head"),
        aligner=("model.projector",),
        vision_tower=("model.vision_model", "model.sam_model"),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no UnlimitedOCRForCausalLM",
    native="UnlimitedOcrForConditionalGeneration",
    requires=("easydict", "transformers==4.46.3"),
    checkpoints={
        "unlimited_ocr": """
PaddlePaddle/Unlimited-OCR
""",
    },
)
