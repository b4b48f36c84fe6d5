"""Orion 14B."""

from swift_core import Family, Modules

card = Family(
    name="orion",
    summary="Orion 14B.",
    architectures=("OrionForCausalLM",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no OrionForCausalLM",
    checkpoints={
        "orion": """
OrionStarAI/Orion-14B-Chat
OrionStarAI/Orion-14B-Base
""",
    },
)
