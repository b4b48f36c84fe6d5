"""SeqGPT 560M: extraction and classification in Chinese."""

from swift_core import Family, Modules

card = Family(
    name="seggpt",
    summary="SeqGPT 560M: extraction and classification in Chinese.",
    architectures=("BloomForCausalLM",),
    config_types=("bloom",),
    modules=Modules(language_model=("transformer", "lm_head")),
    checkpoints={
        "default": """
damo/nlp_seqgpt-560m = DAMO-NLP/SeqGPT-560M
""",
    },
)
