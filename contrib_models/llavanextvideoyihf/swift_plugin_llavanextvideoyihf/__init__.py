"""LLaVA-NeXT-Video on Yi 34B."""

from swift_core import Family, Modules

card = Family(
    name="llava_next_video_yi_hf",
    summary="LLaVA-NeXT-Video on Yi 34B.",
    architectures=("LlavaNextVideoForConditionalGeneration",),
    config_types=("llava_next_video",),
    tells={"text_config.hidden_size": 7168},
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "llava_next_video_hf": """
llava-hf/LLaVA-NeXT-Video-34B-hf
""",
    },
)
