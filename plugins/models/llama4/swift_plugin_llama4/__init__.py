"""Llama 4 Scout and Maverick: pictures on a mixture of experts."""

from swift_core import Family, Modules

card = Family(
    name="llama4",
    summary="Llama 4 Scout and Maverick: pictures on a mixture of experts.",
    architectures=("Llama4ForConditionalGeneration",),
    config_types=("llama4",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("language_model",), aligner=("multi_modal_projector",), vision_tower=("vision_model",)
    ),
    checkpoints={
        "llama4": """
LLM-Research/Llama-4-Scout-17B-16E = meta-llama/Llama-4-Scout-17B-16E
LLM-Research/Llama-4-Maverick-17B-128E = meta-llama/Llama-4-Maverick-17B-128E
LLM-Research/Llama-4-Scout-17B-16E-Instruct = meta-llama/Llama-4-Scout-17B-16E-Instruct
LLM-Research/Llama-4-Maverick-17B-128E-Instruct-FP8 = meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8
LLM-Research/Llama-4-Maverick-17B-128E-Instruct = meta-llama/Llama-4-Maverick-17B-128E-Instruct
""",
    },
)
