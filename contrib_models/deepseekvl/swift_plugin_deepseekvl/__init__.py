"""DeepSeek-VL: pictures on DeepSeek 1.3B and 7B."""

from typing import Any

from swift_core import Family, Modules, hookimpl


class DeepseekVL(Family):
    """Its code writes picture features into the embeddings in place, which autograd refuses."""

    @hookimpl
    def patch_model(self, model: Any) -> None:
        from swift_plugin_runtime.loading.repairs import in_place_writes

        in_place_writes(model, "language_model.model.embed_tokens")


card = DeepseekVL(
    name="deepseek_vl",
    summary="DeepSeek-VL: pictures on DeepSeek 1.3B and 7B.",
    architectures=("MultiModalityCausalLM",),
    modality=("text", "image"),
    modules=Modules(language_model=("language_model",), aligner=("aligner",), vision_tower=("vision_model",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no MultiModalityCausalLM",
    native="DeepseekVLForConditionalGeneration",
    checkpoints={
        "deepseek_vl": """
deepseek-ai/deepseek-vl-1.3b-chat
deepseek-ai/deepseek-vl-7b-chat
""",
    },
)
