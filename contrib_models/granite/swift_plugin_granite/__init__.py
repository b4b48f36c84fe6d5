"""Granite 3: language models for business (IBM)."""

from swift_core import Family, Modules
from swift_core.templates import Template

card = Family(
    name="granite",
    summary="Granite 3: language models for business (IBM).",
    architectures=("GraniteForCausalLM",),
    config_types=("granite",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "granite": """
= ibm-granite/granite-3.1-2b-instruct
= ibm-granite/granite-3.1-8b-instruct
= ibm-granite/granite-3.2-2b-instruct
= ibm-granite/granite-3.2-8b-instruct
= ibm-granite/granite-3.3-2b-base
= ibm-granite/granite-3.3-2b-instruct
= ibm-granite/granite-3.3-8b-base
= ibm-granite/granite-3.3-8b-instruct
""",
    },
)

template = Template(
    name="granite",
    summary="Chat format of Granite 3.",
    system="<|start_of_role|>system<|end_of_role|>{system}<|end_of_text|>\n",
    user="<|start_of_role|>user<|end_of_role|>{query}<|end_of_text|>\n",
    assistant="<|start_of_role|>assistant<|end_of_role|>",
    end="<|end_of_text|>",
    after="\n",
    lacks=("The default system text, which holds the day's date.",),
)
