"""SmolVLM2: small models that see pictures and videos."""

from swift_core import Family, Modules

card = Family(
    name="smolvlm",
    summary="SmolVLM2: small models that see pictures and videos.",
    architectures=("SmolVLMForConditionalGeneration",),
    config_types=("smolvlm",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.text_model", "lm_head"),
        aligner=("model.connector",),
        vision_tower=("model.vision_model",),
    ),
    checkpoints={
        "smolvlm": """
= HuggingFaceTB/SmolVLM2-256M-Video-Instruct
= HuggingFaceTB/SmolVLM2-500M-Video-Instruct
= HuggingFaceTB/SmolVLM2-2.2B-Instruct
""",
    },
)
