"""Mistral Small 3.2: pictures."""

from swift_core import Family, Modules

card = Family(
    name="mistral3_2506",
    summary="Mistral Small 3.2: pictures.",
    architectures=("Mistral3ForConditionalGeneration",),
    config_types=("mistral3",),
    named=("2506",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "mistral_2506": """
mistralai/Mistral-Small-3.2-24B-Instruct-2506
""",
    },
)
