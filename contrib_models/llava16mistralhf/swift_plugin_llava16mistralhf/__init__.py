"""LLaVA 1.6 on Mistral 7B."""

from swift_core import Family, Modules

card = Family(
    name="llava1_6_mistral_hf",
    summary="LLaVA 1.6 on Mistral 7B.",
    architectures=("LlavaNextForConditionalGeneration",),
    config_types=("llava_next",),
    tells={"text_config.model_type": "mistral"},
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "llava1_6_mistral_hf": """
llava-hf/llava-v1.6-mistral-7b-hf
""",
    },
)
