"""Gemma 3, the text-only sizes."""

from swift_core import Family, Modules

card = Family(
    name="gemma3_text",
    summary="Gemma 3, the text-only sizes.",
    architectures=("Gemma3ForCausalLM",),
    config_types=("gemma3_text",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "gemma3_text": """
LLM-Research/gemma-3-1b-pt = google/gemma-3-1b-pt
LLM-Research/gemma-3-1b-it = google/gemma-3-1b-it
google/gemma-3-270m
google/gemma-3-270m-it
google/medgemma-27b-text-it
""",
    },
)
