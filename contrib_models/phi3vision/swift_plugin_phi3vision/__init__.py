"""Phi-3 and Phi-3.5 vision."""

from typing import Any

from swift_core import Family, Modules, hookimpl


class Phi3Vision(Family):
    """Its code writes picture features into the embeddings in place, which autograd refuses."""

    @hookimpl
    def patch_model(self, model: Any) -> None:
        from swift_plugin_runtime.loading.repairs import in_place_writes

        in_place_writes(model, "model.vision_embed_tokens.wte")


card = Phi3Vision(
    name="phi3_vision",
    summary="Phi-3 and Phi-3.5 vision.",
    architectures=("Phi3VForCausalLM",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.layers",),
        aligner=("model.vision_embed_tokens.img_projection",),
        vision_tower=("model.vision_embed_tokens.img_processor",),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no Phi3VForCausalLM",
    checkpoints={
        "phi3_vision": """
LLM-Research/Phi-3-vision-128k-instruct = microsoft/Phi-3-vision-128k-instruct
LLM-Research/Phi-3.5-vision-instruct = microsoft/Phi-3.5-vision-instruct
""",
    },
)
