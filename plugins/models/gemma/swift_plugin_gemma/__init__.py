"""Gemma 2B and 7B."""

from swift_core import Family, Modules

card = Family(
    name="gemma",
    summary="Gemma 2B and 7B.",
    architectures=("GemmaForCausalLM",),
    config_types=("gemma",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "gemma": """
AI-ModelScope/gemma-2b-it = google/gemma-2b-it
AI-ModelScope/gemma-2b = google/gemma-2b
AI-ModelScope/gemma-7b = google/gemma-7b
AI-ModelScope/gemma-7b-it = google/gemma-7b-it
""",
    },
)
