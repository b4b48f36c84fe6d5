"""LLaVA-NeXT on Qwen 1.5 72B and 110B."""

from swift_core import Family, Modules

card = Family(
    name="llava_next_qwen_hf",
    summary="LLaVA-NeXT on Qwen 1.5 72B and 110B.",
    architectures=("LlavaNextForConditionalGeneration",),
    config_types=("llava_next",),
    tells={"text_config.model_type": "qwen2"},
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "llava_next_qwen_hf": """
llava-hf/llava-next-72b-hf
llava-hf/llava-next-110b-hf
""",
    },
)
