"""LLaVA 1.6 on Vicuna."""

from swift_core import Family, Modules

card = Family(
    name="llava1_6_vicuna_hf",
    summary="LLaVA 1.6 on Vicuna.",
    architectures=("LlavaNextForConditionalGeneration",),
    config_types=("llava_next",),
    tells={"image_token_index": 32000, "text_config.model_type": "llama"},
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "llava1_6_vicuna_hf": """
llava-hf/llava-v1.6-vicuna-7b-hf
llava-hf/llava-v1.6-vicuna-13b-hf
""",
    },
)
