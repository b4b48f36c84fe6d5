"""Phi-3 small: block-sparse attention."""

from swift_core.models import Family, Modules

card = Family(
    name="phi3_small",
    summary="Phi-3 small: block-sparse attention.",
    architectures=("Phi3SmallForCausalLM",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no Phi3SmallForCausalLM",
    checkpoints={
        "phi3": """
LLM-Research/Phi-3-small-8k-instruct = microsoft/Phi-3-small-8k-instruct
LLM-Research/Phi-3-small-128k-instruct = microsoft/Phi-3-small-128k-instruct
""",
    },
)
