"""Hunyuan A13B: mixture of experts."""

from swift_core import Family, Modules

card = Family(
    name="hunyuan",
    summary="Hunyuan A13B: mixture of experts.",
    architectures=("HunYuanMoEV1ForCausalLM",),
    config_types=("hunyuan_v1_moe",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "hunyuan_moe": """
Tencent-Hunyuan/Hunyuan-A13B-Instruct = tencent/Hunyuan-A13B-Instruct
""",
    },
)
