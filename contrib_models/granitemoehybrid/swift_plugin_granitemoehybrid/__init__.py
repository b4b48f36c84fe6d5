"""Granite 4: Mamba 2 and attention in turns, some with experts (IBM)."""

from swift_core import Family, Modules
from swift_core.templates import Template

card = Family(
    name="granitemoehybrid",
    summary="Granite 4: Mamba 2 and attention in turns, some with experts (IBM).",
    architectures=("GraniteMoeHybridForCausalLM",),
    config_types=("granitemoehybrid",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "granite4": """
= ibm-granite/granite-4.0-micro
= ibm-granite/granite-4.0-h-micro
= ibm-granite/granite-4.0-h-tiny
= ibm-granite/granite-4.0-h-small
""",
    },
)

template = Template(
    name="granite4",
    summary="Chat format of Granite 4.",
    system="<|start_of_role|>system<|end_of_role|>{system}<|end_of_text|>\n",
    user="<|start_of_role|>user<|end_of_role|>{query}<|end_of_text|>\n",
    assistant="<|start_of_role|>assistant<|end_of_role|>",
    end="<|end_of_text|>",
    after="\n",
    lacks=("The default system text.",),
)
