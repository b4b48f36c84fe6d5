"""Phi-3 small: block-sparse attention."""

from typing import Any

from swift_core import Family, Modules, hookimpl


class Phi3Small(Family):
    """Its rotary embedding returns float32 whatever the precision of the model."""

    @hookimpl
    def patch_model(self, model: Any) -> None:
        from swift_plugin_runtime.loading.repairs import rotary_precision

        rotary_precision(model)


card = Phi3Small(
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
