"""Hy3: Tencent's mixture of experts."""

from swift_core import Family, Modules

card = Family(
    name="hy_v3",
    summary="Hy3: Tencent's mixture of experts.",
    architectures=("HYV3ForCausalLM",),
    config_types=("hy_v3",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "hy_v3_preview": """
Tencent-Hunyuan/Hy3-preview = tencent/Hy3-preview
Tencent-Hunyuan/Hy3-preview-Base = tencent/Hy3-preview-Base
""",
        "hy_v3": """
Tencent-Hunyuan/Hy3 = tencent/Hy3
Tencent-Hunyuan/Hy3-FP8 = tencent/Hy3-FP8
""",
    },
)
