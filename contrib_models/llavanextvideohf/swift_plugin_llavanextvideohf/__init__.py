"""LLaVA-NeXT-Video on Vicuna and Mistral 7B."""

from swift_core import Family, Modules

card = Family(
    name="llava_next_video_hf",
    summary="LLaVA-NeXT-Video on Vicuna and Mistral 7B.",
    architectures=("LlavaNextVideoForConditionalGeneration",),
    config_types=("llava_next_video",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "llava_next_video_hf": """
llava-hf/LLaVA-NeXT-Video-7B-DPO-hf
llava-hf/LLaVA-NeXT-Video-7B-32K-hf
llava-hf/LLaVA-NeXT-Video-7B-hf
""",
    },
)
