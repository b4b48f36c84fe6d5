"""GOT-OCR 2.0 in transformers' own classes."""

from swift_core import Family, Modules

card = Family(
    name="got_ocr2_hf",
    summary="GOT-OCR 2.0 in transformers' own classes.",
    architectures=("GotOcr2ForConditionalGeneration",),
    config_types=("got_ocr2", "pp_chart2table"),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "got_ocr2_hf": """
stepfun-ai/GOT-OCR-2.0-hf
""",
    },
)
