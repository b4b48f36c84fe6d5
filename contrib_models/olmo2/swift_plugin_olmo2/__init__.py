"""OLMo 2: open weights, open data (Ai2)."""

from swift_core import Family, Modules
from swift_core.templates import Template

card = Family(
    name="olmo2",
    summary="OLMo 2: open weights, open data (Ai2).",
    architectures=("Olmo2ForCausalLM",),
    config_types=("olmo2",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "olmo2": """
= allenai/OLMo-2-0425-1B
= allenai/OLMo-2-0425-1B-Instruct
= allenai/OLMo-2-1124-7B
= allenai/OLMo-2-1124-7B-Instruct
= allenai/OLMo-2-1124-13B
= allenai/OLMo-2-1124-13B-Instruct
= allenai/OLMo-2-0325-32B
= allenai/OLMo-2-0325-32B-Instruct
""",
    },
)

template = Template(
    name="olmo2",
    summary="Chat format of OLMo 2.",
    start="<|endoftext|>",
    system="<|endoftext|><|system|>\n{system}\n",
    user="<|user|>\n{query}\n",
    assistant="<|assistant|>\n",
    end="<|endoftext|>",
    after="\n",
)
