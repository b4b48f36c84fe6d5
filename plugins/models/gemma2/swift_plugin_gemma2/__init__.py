"""Gemma 2, 2B to 27B."""

from swift_core import Family, Modules

card = Family(
    name="gemma2",
    summary="Gemma 2, 2B to 27B.",
    architectures=("Gemma2ForCausalLM",),
    config_types=("gemma2",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "gemma": """
LLM-Research/gemma-2-2b-it = google/gemma-2-2b-it
LLM-Research/gemma-2-2b = google/gemma-2-2b
LLM-Research/gemma-2-9b = google/gemma-2-9b
LLM-Research/gemma-2-9b-it = google/gemma-2-9b-it
LLM-Research/gemma-2-27b = google/gemma-2-27b
LLM-Research/gemma-2-27b-it = google/gemma-2-27b-it
""",
    },
)
