"""Baichuan-M1: a medical language model with convolutional attention."""

from swift_core import Family, Modules

card = Family(
    name="baichuan_m1",
    summary="Baichuan-M1: a medical language model with convolutional attention.",
    architectures=("BaichuanM1ForCausalLM",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no BaichuanM1ForCausalLM",
    checkpoints={
        "baichuan_m1": """
baichuan-inc/Baichuan-M1-14B-Instruct
""",
    },
)
