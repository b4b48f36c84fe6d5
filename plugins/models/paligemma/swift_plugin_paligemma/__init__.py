"""PaliGemma 1 and 2: SigLIP before Gemma, for transfer."""

from swift_core.models import Family, Modules

card = Family(
    name="paligemma",
    summary="PaliGemma 1 and 2: SigLIP before Gemma, for transfer.",
    architectures=("PaliGemmaForConditionalGeneration",),
    config_types=("paligemma",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "paligemma": """
AI-ModelScope/paligemma-3b-pt-224 = google/paligemma-3b-pt-224
AI-ModelScope/paligemma-3b-pt-448 = google/paligemma-3b-pt-448
AI-ModelScope/paligemma-3b-pt-896 = google/paligemma-3b-pt-896
AI-ModelScope/paligemma-3b-mix-224 = google/paligemma-3b-mix-224
AI-ModelScope/paligemma-3b-mix-448 = google/paligemma-3b-mix-448
AI-ModelScope/paligemma2-3b-pt-224 = google/paligemma2-3b-pt-224
AI-ModelScope/paligemma2-3b-pt-448 = google/paligemma2-3b-pt-448
AI-ModelScope/paligemma2-3b-pt-896 = google/paligemma2-3b-pt-896
AI-ModelScope/paligemma2-10b-pt-224 = google/paligemma2-10b-pt-224
AI-ModelScope/paligemma2-10b-pt-448 = google/paligemma2-10b-pt-448
AI-ModelScope/paligemma2-10b-pt-896 = google/paligemma2-10b-pt-896
AI-ModelScope/paligemma2-28b-pt-224 = google/paligemma2-28b-pt-224
AI-ModelScope/paligemma2-28b-pt-448 = google/paligemma2-28b-pt-448
AI-ModelScope/paligemma2-28b-pt-896 = google/paligemma2-28b-pt-896
AI-ModelScope/paligemma2-3b-ft-docci-448 = google/paligemma2-3b-ft-docci-448
AI-ModelScope/paligemma2-10b-ft-docci-448 = google/paligemma2-10b-ft-docci-448
""",
    },
)
