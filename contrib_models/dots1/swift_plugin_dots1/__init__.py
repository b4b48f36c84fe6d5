"""dots.llm1: mixture of experts trained without synthetic data."""

from swift_core import Family, Modules

card = Family(
    name="dots1",
    summary="dots.llm1: mixture of experts trained without synthetic data.",
    architectures=("Dots1ForCausalLM",),
    config_types=("dots1",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "dots1": """
rednote-hilab/dots.llm1.base
rednote-hilab/dots.llm1.inst
""",
    },
)
