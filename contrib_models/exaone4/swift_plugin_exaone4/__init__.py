"""EXAONE 4: thinks or answers at once (LG AI Research)."""

from swift_core import Family, Modules
from swift_core.templates import Template, Thinking

card = Family(
    name="exaone4",
    summary="EXAONE 4: thinks or answers at once (LG AI Research).",
    architectures=("Exaone4ForCausalLM",),
    config_types=("exaone4",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "exaone4": """
= LGAI-EXAONE/EXAONE-4.0-1.2B
= LGAI-EXAONE/EXAONE-4.0-32B
""",
    },
)

template = Template(
    name="exaone4",
    summary="Chat format of EXAONE 4.",
    system="[|system|]\n{system}[|endofturn|]\n",
    user="[|user|]\n{query}[|endofturn|]\n",
    assistant="[|assistant|]\n",
    end="[|endofturn|]",
    after="\n",
    thinking=Thinking(
        write="<think>\n{thought}\n</think>\n\n",
        empty="<think>\n\n</think>\n\n",
        history="<think>\n\n</think>\n\n",
        on="<think>\n",
        default=False,
    ),
)
