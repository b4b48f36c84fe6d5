"""DBRX: sixteen experts, four active."""

from swift_core import Family, Modules

card = Family(
    name="dbrx",
    summary="DBRX: sixteen experts, four active.",
    architectures=("DbrxForCausalLM",),
    config_types=("dbrx",),
    modules=Modules(language_model=("transformer", "lm_head")),
    checkpoints={
        "dbrx": """
AI-ModelScope/dbrx-base = databricks/dbrx-base
AI-ModelScope/dbrx-instruct = databricks/dbrx-instruct
""",
    },
)
