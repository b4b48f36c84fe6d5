"""SmolLM3: a small open model that thinks when asked to."""

from swift_core import Family, Modules
from swift_core.templates import Template, Thinking

card = Family(
    name="smollm3",
    summary="SmolLM3: a small open model that thinks when asked to.",
    architectures=("SmolLM3ForCausalLM",),
    config_types=("smollm3",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "smollm3": """
= HuggingFaceTB/SmolLM3-3B
= HuggingFaceTB/SmolLM3-3B-Base
""",
    },
)

template = Template(
    name="smollm3",
    summary="Chat format of SmolLM3.",
    system="<|im_start|>system\n{system}<|im_end|>\n",
    user="<|im_start|>user\n{query}<|im_end|>\n",
    assistant="<|im_start|>assistant\n",
    end="<|im_end|>",
    after="\n",
    agent="hermes",
    thinking=Thinking(
        write="<think>\n{thought}\n</think>\n", empty="<think>\n\n</think>\n", history="<think>\n\n</think>\n"
    ),
    lacks=("The headings on metadata and reasoning mode that the official template puts around a system text.",),
)
