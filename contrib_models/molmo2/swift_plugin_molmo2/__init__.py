"""Molmo 2: points and tracks in pictures and videos."""

from typing import Any

from swift_core import Family, Modules, hookimpl


class Molmo2(Family):
    """The class demands token types in training; rows of text alone bring none, and theirs are all zero."""

    @hookimpl
    def patch_model(self, model: Any) -> None:
        model.register_forward_pre_hook(_with_token_types, with_kwargs=True)


def _with_token_types(model: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
    if named.get("mm_token_type_ids") is None and named.get("input_ids") is not None:
        named["mm_token_type_ids"] = named["input_ids"].new_zeros(named["input_ids"].shape)
    return positional, named


card = Molmo2(
    name="molmo2",
    summary="Molmo 2: points and tracks in pictures and videos.",
    architectures=("Molmo2ForConditionalGeneration",),
    config_types=("molmo2",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "molmo2": """
allenai/Molmo2-4B
allenai/Molmo2-8B
allenai/Molmo2-O-7B
""",
    },
)
