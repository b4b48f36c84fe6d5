"""Pythia and GPT-NeoX: base models for study (EleutherAI)."""

from swift_core import Family, Modules

card = Family(
    name="gpt_neox",
    summary="Pythia and GPT-NeoX: base models for study (EleutherAI).",
    architectures=("GPTNeoXForCausalLM",),
    config_types=("gpt_neox",),
    modules=Modules(language_model=("gpt_neox", "embed_out")),
    checkpoints={
        "default": """
= EleutherAI/pythia-14m
= EleutherAI/pythia-70m
= EleutherAI/pythia-160m
= EleutherAI/pythia-410m
= EleutherAI/pythia-1b
= EleutherAI/pythia-1.4b
= EleutherAI/pythia-2.8b
= EleutherAI/pythia-6.9b
= EleutherAI/pythia-12b
= EleutherAI/gpt-neox-20b
""",
    },
)
