"""dots.ocr: page layout and text in one model."""

from swift_core import Family, Modules

card = Family(
    name="dots_ocr",
    summary="dots.ocr: page layout and text in one model.",
    architectures=("DotsOCRForCausalLM",),
    modality=("text", "image"),
    bbox="real",
    modules=Modules(language_model=("model", "lm_head"), vision_tower=("vision_tower",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no DotsOCRForCausalLM",
    checkpoints={
        "dots_ocr": """
rednote-hilab/dots.ocr
""",
    },
)
