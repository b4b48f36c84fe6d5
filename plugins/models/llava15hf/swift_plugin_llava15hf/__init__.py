"""LLaVA 1.5 on Vicuna."""

from swift_core import Family, Modules

card = Family(
    name="llava1_5_hf",
    summary="LLaVA 1.5 on Vicuna.",
    architectures=("LlavaForConditionalGeneration",),
    config_types=("llava",),
    tells={"image_token_index": 32000},
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "llava1_5_hf": """
llava-hf/llava-1.5-7b-hf
llava-hf/llava-1.5-13b-hf
""",
    },
)
