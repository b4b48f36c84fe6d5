"""Zephyr 7B: Mistral aligned by distilled preferences."""

from swift_core import Family, Modules

card = Family(
    name="zephyr",
    summary="Zephyr 7B: Mistral aligned by distilled preferences.",
    architectures=("MistralForCausalLM",),
    config_types=("mistral",),
    named=("zephyr",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "zephyr": """
modelscope/zephyr-7b-beta = HuggingFaceH4/zephyr-7b-beta
""",
    },
)
