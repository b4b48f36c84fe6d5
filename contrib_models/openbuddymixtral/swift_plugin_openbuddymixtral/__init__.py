"""OpenBuddy on Mixtral."""

from swift_core import Family, Modules

card = Family(
    name="openbuddy_mixtral",
    summary="OpenBuddy on Mixtral.",
    architectures=("MixtralForCausalLM",),
    config_types=("mixtral",),
    named=("openbuddy",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "openbuddy": """
OpenBuddy/openbuddy-mixtral-7bx8-v18.1-32k
""",
    },
)
