"""LLaVA 1.6 on Yi 34B."""

from swift_core import Family, Modules

card = Family(
    name="llava1_6_yi_hf",
    summary="LLaVA 1.6 on Yi 34B.",
    architectures=("LlavaNextForConditionalGeneration",),
    config_types=("llava_next",),
    tells={"image_token_index": 64000},
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "llava1_6_yi_hf": """
llava-hf/llava-v1.6-34b-hf
""",
    },
)
