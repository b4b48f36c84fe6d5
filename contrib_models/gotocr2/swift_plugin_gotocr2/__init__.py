"""GOT-OCR 2.0: optical characters of all kinds."""

from swift_core import Family, Modules

card = Family(
    name="got_ocr2",
    summary="GOT-OCR 2.0: optical characters of all kinds.",
    architectures=("GOTQwenForCausalLM",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.layers",),
        aligner=("model.mm_projector_vary",),
        vision_tower=("model.vision_tower_high",),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no GOTQwenForCausalLM",
    native="GotOcr2ForConditionalGeneration",
    checkpoints={
        "got_ocr2": """
stepfun-ai/GOT-OCR2_0
""",
    },
)
