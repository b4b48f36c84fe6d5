"""Baichuan 2, 7B and 13B."""

from swift_core import Family, Modules

card = Family(
    name="baichuan2",
    summary="Baichuan 2, 7B and 13B.",
    architectures=("BaichuanForCausalLM", "BaiChuanForCausalLM"),
    tells={"vocab_size": 125696},
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no BaichuanForCausalLM",
    requires=("accelerate<0.26", "bitsandbytes<0.41.2"),
    checkpoints={
        "baichuan": """
baichuan-inc/Baichuan2-7B-Chat
baichuan-inc/Baichuan2-7B-Base
baichuan-inc/Baichuan2-13B-Chat
baichuan-inc/Baichuan2-13B-Base
baichuan-inc/Baichuan2-7B-Chat-4bits
baichuan-inc/Baichuan2-13B-Chat-4bits
""",
    },
)
