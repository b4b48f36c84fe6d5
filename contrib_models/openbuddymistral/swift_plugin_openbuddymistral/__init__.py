"""OpenBuddy on Mistral and Zephyr."""

from swift_core import Family, Modules

card = Family(
    name="openbuddy_mistral",
    summary="OpenBuddy on Mistral and Zephyr.",
    architectures=("MistralForCausalLM",),
    config_types=("mistral",),
    named=("openbuddy",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "openbuddy": """
OpenBuddy/openbuddy-mistral-7b-v17.1-32k
OpenBuddy/openbuddy-zephyr-7b-v14.1
""",
    },
)
