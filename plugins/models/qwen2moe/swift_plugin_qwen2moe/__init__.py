"""Qwen 1.5 and Qwen2 mixture of experts."""

from swift_core import Family, Modules

card = Family(
    name="qwen2_moe",
    summary="Qwen 1.5 and Qwen2 mixture of experts.",
    architectures=("Qwen2MoeForCausalLM",),
    config_types=("qwen2_moe",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "qwen": """
Qwen/Qwen1.5-MoE-A2.7B-Chat
Qwen/Qwen1.5-MoE-A2.7B
Qwen/Qwen1.5-MoE-A2.7B-Chat-GPTQ-Int4
Qwen/Qwen2-57B-A14B-Instruct
Qwen/Qwen2-57B-A14B
Qwen/Qwen2-57B-A14B-Instruct-GPTQ-Int4
""",
    },
)
