"""Grok-1: 314B mixture of experts."""

from swift_core import Family, Modules

card = Family(
    name="grok",
    summary="Grok-1: 314B mixture of experts.",
    architectures=("Grok1ModelForCausalLM",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no Grok-1",
    checkpoints={
        "default": """
colossalai/grok-1-pytorch = hpcai-tech/grok-1
""",
    },
)
