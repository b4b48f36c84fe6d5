"""Hunyuan dense, 0.5B to 7B."""

from swift_core import Family, Modules

card = Family(
    name="hunyuan_v1_dense",
    summary="Hunyuan dense, 0.5B to 7B.",
    architectures=("HunYuanDenseV1ForCausalLM",),
    config_types=("hunyuan_v1_dense",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "hunyuan": """
Tencent-Hunyuan/Hunyuan-0.5B-Instruct = tencent/Hunyuan-0.5B-Instruct
Tencent-Hunyuan/Hunyuan-1.8B-Instruct = tencent/Hunyuan-1.8B-Instruct
Tencent-Hunyuan/Hunyuan-4B-Instruct = tencent/Hunyuan-4B-Instruct
Tencent-Hunyuan/Hunyuan-7B-Instruct = tencent/Hunyuan-7B-Instruct
Tencent-Hunyuan/Hunyuan-0.5B-Pretrain = tencent/Hunyuan-0.5B-Pretrain
Tencent-Hunyuan/Hunyuan-1.8B-Pretrain = tencent/Hunyuan-1.8B-Pretrain
Tencent-Hunyuan/Hunyuan-4B-Pretrain = tencent/Hunyuan-4B-Pretrain
Tencent-Hunyuan/Hunyuan-7B-Pretrain = tencent/Hunyuan-7B-Pretrain
Tencent-Hunyuan/Hunyuan-0.5B-Instruct-FP8 = tencent/Hunyuan-0.5B-Instruct-FP8
Tencent-Hunyuan/Hunyuan-1.8B-Instruct-FP8 = tencent/Hunyuan-1.8B-Instruct-FP8
Tencent-Hunyuan/Hunyuan-4B-Instruct-FP8 = tencent/Hunyuan-4B-Instruct-FP8
Tencent-Hunyuan/Hunyuan-7B-Instruct-FP8 = tencent/Hunyuan-7B-Instruct-FP8
Tencent-Hunyuan/Hunyuan-0.5B-Instruct-AWQ-Int4 = tencent/Hunyuan-0.5B-Instruct-AWQ-Int4
Tencent-Hunyuan/Hunyuan-1.8B-Instruct-AWQ-Int4 = tencent/Hunyuan-1.8B-Instruct-AWQ-Int4
Tencent-Hunyuan/Hunyuan-4B-Instruct-AWQ-Int4 = tencent/Hunyuan-4B-Instruct-AWQ-Int4
Tencent-Hunyuan/Hunyuan-7B-Instruct-AWQ-Int4 = tencent/Hunyuan-7B-Instruct-AWQ-Int4
Tencent-Hunyuan/Hunyuan-0.5B-Instruct-GPTQ-Int4 = tencent/Hunyuan-0.5B-Instruct-GPTQ-Int4
Tencent-Hunyuan/Hunyuan-1.8B-Instruct-GPTQ-Int4 = tencent/Hunyuan-1.8B-Instruct-GPTQ-Int4
Tencent-Hunyuan/Hunyuan-4B-Instruct-GPTQ-Int4 = tencent/Hunyuan-4B-Instruct-GPTQ-Int4
Tencent-Hunyuan/Hunyuan-7B-Instruct-GPTQ-Int4 = tencent/Hunyuan-7B-Instruct-GPTQ-Int4
""",
    },
)
