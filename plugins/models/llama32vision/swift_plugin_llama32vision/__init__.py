"""Llama 3.2 Vision: pictures through cross-attention."""

from swift_core import Family, Modules

card = Family(
    name="llama3_2_vision",
    summary="Llama 3.2 Vision: pictures through cross-attention.",
    architectures=("MllamaForConditionalGeneration",),
    config_types=("mllama",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_model",),
    ),
    checkpoints={
        "llama3_2_vision": """
LLM-Research/Llama-3.2-11B-Vision-Instruct = meta-llama/Llama-3.2-11B-Vision-Instruct
LLM-Research/Llama-3.2-90B-Vision-Instruct = meta-llama/Llama-3.2-90B-Vision-Instruct
LLM-Research/Llama-3.2-11B-Vision = meta-llama/Llama-3.2-11B-Vision
LLM-Research/Llama-3.2-90B-Vision = meta-llama/Llama-3.2-90B-Vision
""",
    },
)
