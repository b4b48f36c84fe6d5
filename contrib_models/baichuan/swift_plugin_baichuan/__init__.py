"""Baichuan 7B and 13B, the first generation."""

from swift_core import Family, Modules

card = Family(
    name="baichuan",
    summary="Baichuan 7B and 13B, the first generation.",
    architectures=("BaichuanForCausalLM", "BaiChuanForCausalLM"),
    tells={"vocab_size": 64000},
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no BaichuanForCausalLM",
    requires=("transformers<4.34",),
    checkpoints={
        "baichuan": """
baichuan-inc/Baichuan-13B-Chat
baichuan-inc/Baichuan-13B-Base
baichuan-inc/baichuan-7B = baichuan-inc/Baichuan-7B
""",
    },
)
