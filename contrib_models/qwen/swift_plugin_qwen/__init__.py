"""Qwen, the first generation, and Tongyi Finance."""

from swift_core import Family, Modules

card = Family(
    name="qwen",
    summary="Qwen, the first generation, and Tongyi Finance.",
    architectures=("QWenLMHeadModel",),
    modules=Modules(language_model=("transformer", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no QWenLMHeadModel",
    checkpoints={
        "qwen": """
Qwen/Qwen-1_8B-Chat
Qwen/Qwen-7B-Chat
Qwen/Qwen-14B-Chat
Qwen/Qwen-72B-Chat
Qwen/Qwen-1_8B
Qwen/Qwen-7B
Qwen/Qwen-14B
Qwen/Qwen-72B
Qwen/Qwen-1_8B-Chat-Int4
Qwen/Qwen-7B-Chat-Int4
Qwen/Qwen-14B-Chat-Int4
Qwen/Qwen-72B-Chat-Int4
Qwen/Qwen-1_8B-Chat-Int8
Qwen/Qwen-7B-Chat-Int8
Qwen/Qwen-14B-Chat-Int8
Qwen/Qwen-72B-Chat-Int8
TongyiFinance/Tongyi-Finance-14B-Chat = jxy/Tongyi-Finance-14B-Chat
TongyiFinance/Tongyi-Finance-14B =
TongyiFinance/Tongyi-Finance-14B-Chat-Int4 = jxy/Tongyi-Finance-14B-Chat-Int4
""",
    },
)
