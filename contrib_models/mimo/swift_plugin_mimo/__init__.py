"""MiMo 7B: trained for reasoning."""

from swift_core import Family, Modules

card = Family(
    name="mimo",
    summary="MiMo 7B: trained for reasoning.",
    architectures=("MiMoForCausalLM",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no MiMoForCausalLM",
    checkpoints={
        "qwen": """
XiaomiMiMo/MiMo-7B-Base
XiaomiMiMo/MiMo-7B-SFT
XiaomiMiMo/MiMo-7B-RL-Zero
XiaomiMiMo/MiMo-7B-RL
""",
        "mimo_rl": """
XiaomiMiMo/MiMo-7B-RL-0530
""",
    },
)
