"""PolyLM 13B: many languages."""

from swift_core import Family, Modules

card = Family(
    name="polylm",
    summary="PolyLM 13B: many languages.",
    architectures=("GPT2LMHeadModel",),
    config_types=("gpt-sw3", "gpt2"),
    modules=Modules(language_model=("transformer", "lm_head")),
    checkpoints={
        "default": """
damo/nlp_polylm_13b_text_generation = DAMO-NLP-MT/polylm-13b
""",
    },
)
