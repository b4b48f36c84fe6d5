"""Gemma 3 with pictures, 4B to 27B, and MedGemma."""

from swift_core import Family, Modules

card = Family(
    name="gemma3_vision",
    summary="Gemma 3 with pictures, 4B to 27B, and MedGemma.",
    architectures=("Gemma3ForConditionalGeneration",),
    config_types=("gemma3", "shieldgemma2"),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "gemma3_vision": """
LLM-Research/gemma-3-4b-pt = google/gemma-3-4b-pt
LLM-Research/gemma-3-4b-it = google/gemma-3-4b-it
LLM-Research/gemma-3-12b-pt = google/gemma-3-12b-pt
LLM-Research/gemma-3-12b-it = google/gemma-3-12b-it
LLM-Research/gemma-3-27b-pt = google/gemma-3-27b-pt
LLM-Research/gemma-3-27b-it = google/gemma-3-27b-it
google/medgemma-4b-pt
google/medgemma-4b-it
google/medgemma-27b-it
""",
    },
)
