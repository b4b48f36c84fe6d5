"""LLaVA-NeXT on Llama 3.1 8B."""

from swift_core import Family, Modules

card = Family(
    name="llava_llama3_1_hf",
    summary="LLaVA-NeXT on Llama 3.1 8B.",
    architectures=("LlavaNextForConditionalGeneration",),
    config_types=("llava_next",),
    tells={"text_config.vocab_size": 128320},
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "llava_llama3_1_hf": """
swift/llava-llama3.1-8b =
""",
    },
)
