"""Megrez 3B Omni: text, pictures and speech."""

from swift_core import Family, Modules

card = Family(
    name="megrez_omni",
    summary="Megrez 3B Omni: text, pictures and speech.",
    architectures=("MegrezO",),
    modality=("text", "image", "audio"),
    modules=Modules(language_model=("llm",), vision_tower=("vision",), audio_tower=("audio",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no MegrezO",
    checkpoints={
        "megrez_omni": """
InfiniAI/Megrez-3B-Omni = Infinigence/Megrez-3B-Omni
""",
    },
)
