"""LLaVA on Llama 3 8B by XTuner."""

from swift_core import Family, Modules

card = Family(
    name="llava_llama3_hf",
    summary="LLaVA on Llama 3 8B by XTuner.",
    architectures=("LlavaForConditionalGeneration",),
    config_types=("llava",),
    tells={"text_config.vocab_size": 128320},
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "llava_llama3_hf": """
AI-ModelScope/llava-llama-3-8b-v1_1-transformers = xtuner/llava-llama-3-8b-v1_1-transformers
""",
    },
)
