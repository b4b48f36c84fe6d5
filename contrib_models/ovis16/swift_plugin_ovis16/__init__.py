"""Ovis 1.6: visual tokens from a learned table, on Gemma 2 and Llama 3.2."""

from swift_core import Family, Modules

card = Family(
    name="ovis1_6",
    summary="Ovis 1.6: visual tokens from a learned table, on Gemma 2 and Llama 3.2.",
    architectures=("Ovis",),
    tells={"llm_config.model_type": ("gemma2", "llama")},
    modality=("text", "image"),
    modules=Modules(language_model=("llm",), vision_tower=("visual_tokenizer", "vte")),
    remote_code="its modeling code lies in the checkpoint; transformers has no Ovis",
    checkpoints={
        "ovis1_6": """
AIDC-AI/Ovis1.6-Gemma2-9B
AIDC-AI/Ovis1.6-Gemma2-9B-GPTQ-Int4
AIDC-AI/Ovis1.6-Gemma2-27B
""",
        "ovis1_6_llama3": """
AIDC-AI/Ovis1.6-Llama3.2-3B
""",
    },
)
