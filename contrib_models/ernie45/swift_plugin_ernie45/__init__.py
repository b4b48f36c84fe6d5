"""ERNIE 4.5 0.3B, dense."""

from swift_core import Family, Modules

card = Family(
    name="ernie4_5",
    summary="ERNIE 4.5 0.3B, dense.",
    architectures=("Ernie4_5_ForCausalLM",),
    config_types=("ernie4_5",),
    modules=Modules(language_model=("model", "lm_head")),
    native="Ernie4_5ForCausalLM",
    checkpoints={
        "ernie": """
PaddlePaddle/ERNIE-4.5-0.3B-Base-PT = baidu/ERNIE-4.5-0.3B-PT
PaddlePaddle/ERNIE-4.5-0.3B-PT = baidu/ERNIE-4.5-0.3B-PT
""",
    },
)
