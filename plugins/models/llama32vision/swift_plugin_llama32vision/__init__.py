"""Llama 3.2 Vision: pictures through cross-attention."""

from typing import Any

from swift_core import Family, Modules, hookimpl


class Llama32Vision(Family):
    """A row of text beside one with a picture computes what it computes alone: it passes no cross-attention."""

    @hookimpl
    def patch_model(self, model: Any) -> None:
        for module in model.modules():
            if type(module).__name__ == "MllamaCrossAttentionDecoderLayer":
                module.register_forward_hook(past_text_rows, with_kwargs=True)


def past_text_rows(module: Any, given: Any, named: dict[str, Any], found: Any) -> Any:
    """A hook on a cross-attention layer: rows without a picture, [tokens, width] each, leave it as they came.

    transformers' layer lets such rows look at the empty pictures by which a batch is filled up, and skips the layer
    where no row has a picture.
    """
    seen = named.get("full_text_row_masked_out_mask")
    if seen is None:
        return found
    pictured = seen[:, 0].flatten(1).any(dim=1)[:, None, None]
    return found.where(pictured, given[0] if given else named["hidden_states"])


card = Llama32Vision(
    name="llama3_2_vision",
    summary="Llama 3.2 Vision: pictures through cross-attention.",
    architectures=("MllamaForConditionalGeneration",),
    config_types=("mllama",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_model",),
    ),
    checkpoints={
        "llama3_2_vision": """
LLM-Research/Llama-3.2-11B-Vision-Instruct = meta-llama/Llama-3.2-11B-Vision-Instruct
LLM-Research/Llama-3.2-90B-Vision-Instruct = meta-llama/Llama-3.2-90B-Vision-Instruct
LLM-Research/Llama-3.2-11B-Vision = meta-llama/Llama-3.2-11B-Vision
LLM-Research/Llama-3.2-90B-Vision = meta-llama/Llama-3.2-90B-Vision
""",
    },
)
