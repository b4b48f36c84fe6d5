"""LLaVA-OneVision on Qwen2: one picture, many pictures, videos."""

from swift_core import Family, Modules

card = Family(
    name="llava_onevision_hf",
    summary="LLaVA-OneVision on Qwen2: one picture, many pictures, videos.",
    architectures=("LlavaOnevisionForConditionalGeneration",),
    config_types=("llava_onevision",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "llava_onevision_hf": """
llava-hf/llava-onevision-qwen2-0.5b-ov-hf
llava-hf/llava-onevision-qwen2-7b-ov-hf
llava-hf/llava-onevision-qwen2-72b-ov-hf
""",
    },
)
