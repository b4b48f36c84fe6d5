"""LLaVA-NeXT on Llama 3 8B."""

from swift_core import Family, Modules

card = Family(
    name="llama3_llava_next_hf",
    summary="LLaVA-NeXT on Llama 3 8B.",
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
        "llama3_llava_next_hf": """
llava-hf/llama3-llava-next-8b-hf
""",
    },
)
