"""ERNIE 4.5: mixture of experts, text."""

from swift_core import Family, Modules

card = Family(
    name="ernie4_5_moe",
    summary="ERNIE 4.5: mixture of experts, text.",
    architectures=("Ernie4_5_MoeForCausalLM",),
    config_types=("ernie4_5_moe",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "ernie": """
PaddlePaddle/ERNIE-4.5-21B-A3B-Base-PT = baidu/ERNIE-4.5-21B-A3B-Base-PT
PaddlePaddle/ERNIE-4.5-21B-A3B-PT = baidu/ERNIE-4.5-21B-A3B-PT
PaddlePaddle/ERNIE-4.5-300B-A47B-Base-PT = baidu/ERNIE-4.5-300B-A47B-Base-PT
PaddlePaddle/ERNIE-4.5-300B-A47B-PT = baidu/ERNIE-4.5-300B-A47B-PT
""",
        "ernie_thinking": """
PaddlePaddle/ERNIE-4.5-21B-A3B-Thinking = baidu/ERNIE-4.5-21B-A3B-Thinking
""",
    },
)
