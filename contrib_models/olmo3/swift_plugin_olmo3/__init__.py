"""Olmo 3: open weights, open data, with and without thoughts (Ai2)."""

from swift_core import Family, Modules
from swift_core.templates import Template

card = Family(
    name="olmo3",
    summary="Olmo 3: open weights, open data, with and without thoughts (Ai2).",
    architectures=("Olmo3ForCausalLM",),
    config_types=("olmo3",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "olmo3": """
= allenai/Olmo-3-1025-7B
= allenai/Olmo-3-7B-Instruct
= allenai/Olmo-3-7B-Think
= allenai/Olmo-3-1125-32B
= allenai/Olmo-3-32B-Think
""",
    },
)

template = Template(
    name="olmo3",
    summary="Chat format of Olmo 3.",
    start="",
    system="<|im_start|>system\n{system}<|im_end|>\n",
    user="<|im_start|>user\n{query}<|im_end|>\n",
    assistant="<|im_start|>assistant\n",
    end="<|im_end|>",
    after="\n",
    lacks=("The default system texts and the list of functions that the official templates put into them.",),
)
