"""OPT: open pre-trained base models (Meta)."""

from swift_core import Family, Modules

card = Family(
    name="opt",
    summary="OPT: open pre-trained base models (Meta).",
    architectures=("OPTForCausalLM",),
    config_types=("opt",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "default": """
= facebook/opt-125m
= facebook/opt-350m
= facebook/opt-1.3b
= facebook/opt-2.7b
= facebook/opt-6.7b
= facebook/opt-13b
= facebook/opt-30b
= facebook/opt-66b
""",
    },
)
