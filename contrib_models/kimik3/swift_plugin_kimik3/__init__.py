"""Kimi K3, with pictures."""

from swift_core import Family, Modules

card = Family(
    name="kimi_k3",
    summary="Kimi K3, with pictures.",
    architectures=("KimiK3ForConditionalGeneration",),
    modality=("text", "image"),
    modules=Modules(language_model=("language_model",), aligner=("mm_projector",), vision_tower=("vision_tower",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no KimiK3ForConditionalGeneration",
    requires=("tiktoken",),
    checkpoints={
        "kimi_k3": """
moonshotai/Kimi-K3
""",
    },
)
