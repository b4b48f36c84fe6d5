"""Janus-Pro: understands and generates pictures."""

from typing import Any

from swift_core import Family, Modules, hookimpl


class JanusPro(Family):
    """Its code writes picture features into the embeddings in place, which autograd refuses."""

    @hookimpl
    def patch_model(self, model: Any) -> None:
        from swift_plugin_runtime.loading.repairs import in_place_writes

        in_place_writes(model, "language_model.model.embed_tokens")


card = JanusPro(
    name="deepseek_janus_pro",
    summary="Janus-Pro: understands and generates pictures.",
    modality=("text", "image"),
    modules=Modules(
        language_model=("language_model",),
        aligner=("aligner",),
        vision_tower=("vision_model",),
        generator=("gen_vision_model", "gen_aligner", "gen_head", "gen_embed"),
    ),
    remote_code="its code is the Janus repository, which must be on the path",
    native="JanusForConditionalGeneration",
    checkpoints={
        "deepseek_janus_pro": """
deepseek-ai/Janus-Pro-1B
deepseek-ai/Janus-Pro-7B
""",
    },
)
