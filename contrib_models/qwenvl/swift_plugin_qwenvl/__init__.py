"""Qwen-VL: pictures and boxes on Qwen."""

from typing import Any

from swift_core import Family, Modules, hookimpl


class QwenVL(Family):
    """Its code writes picture features into the embeddings in place, which autograd refuses."""

    @hookimpl
    def patch_model(self, model: Any) -> None:
        from swift_plugin_runtime.loading.repairs import in_place_writes

        in_place_writes(model, "transformer.drop")


card = QwenVL(
    name="qwen_vl",
    bbox="qwen_vl",
    summary="Qwen-VL: pictures and boxes on Qwen.",
    architectures=("QWenLMHeadModel",),
    tells={"visual": True},
    modality=("text", "image"),
    modules=Modules(language_model=("transformer.h",), vision_tower=("transformer.visual",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no QWenLMHeadModel",
    extra_files=("SimSun.ttf",),
    checkpoints={
        "qwen_vl": """
Qwen/Qwen-VL-Chat
Qwen/Qwen-VL
Qwen/Qwen-VL-Chat-Int4
""",
    },
)
