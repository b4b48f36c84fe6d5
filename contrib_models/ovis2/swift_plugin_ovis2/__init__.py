"""Ovis 2: visual tokens from a learned table, on Qwen2.5."""

from swift_core import Family, Modules

card = Family(
    name="ovis2",
    summary="Ovis 2: visual tokens from a learned table, on Qwen2.5.",
    architectures=("Ovis",),
    tells={"llm_config.model_type": "qwen2"},
    modality=("text", "image"),
    modules=Modules(language_model=("llm",), vision_tower=("visual_tokenizer", "vte")),
    remote_code="its modeling code lies in the checkpoint; transformers has no Ovis",
    native="Ovis2ForConditionalGeneration",
    requires=("moviepy<2",),
    checkpoints={
        "ovis2": """
AIDC-AI/Ovis2-1B
AIDC-AI/Ovis2-2B
AIDC-AI/Ovis2-4B
AIDC-AI/Ovis2-8B
AIDC-AI/Ovis2-16B
AIDC-AI/Ovis2-34B
""",
    },
)
