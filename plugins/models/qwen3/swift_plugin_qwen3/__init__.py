"""Qwen3 dense language models, thinking and not."""

from swift_core import Family, Modules

card = Family(
    name="qwen3",
    summary="Qwen3 dense language models, thinking and not.",
    architectures=("Qwen3ForCausalLM",),
    config_types=("qwen3",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "qwen3": """
Qwen/Qwen3-0.6B-Base
Qwen/Qwen3-1.7B-Base
Qwen/Qwen3-4B-Base
Qwen/Qwen3-8B-Base
Qwen/Qwen3-14B-Base
Qwen/Qwen3-0.6B
Qwen/Qwen3-1.7B
Qwen/Qwen3-4B
Qwen/Qwen3-8B
Qwen/Qwen3-14B
Qwen/Qwen3-32B
Qwen/Qwen3-0.6B-FP8
Qwen/Qwen3-1.7B-FP8
Qwen/Qwen3-4B-FP8
Qwen/Qwen3-8B-FP8
Qwen/Qwen3-14B-FP8
Qwen/Qwen3-32B-FP8
Qwen/Qwen3-4B-AWQ
Qwen/Qwen3-8B-AWQ
Qwen/Qwen3-14B-AWQ
Qwen/Qwen3-32B-AWQ
swift/Qwen3-32B-AWQ =
""",
        "deepseek_r1": """
deepseek-ai/DeepSeek-R1-0528-Qwen3-8B
""",
        "qwen3_guard": """
Qwen/Qwen3Guard-Gen-0.6B
Qwen/Qwen3Guard-Gen-4B
Qwen/Qwen3Guard-Gen-8B
""",
        "yufeng_xguard": """
Alibaba-AAIG/YuFeng-XGuard-Reason-0.6B
Alibaba-AAIG/YuFeng-XGuard-Reason-8B
""",
        "qwen3_thinking": """
Qwen/Qwen3-4B-Thinking-2507
Qwen/Qwen3-4B-Thinking-2507-FP8
""",
        "qwen3_nothinking": """
Qwen/Qwen3-4B-Instruct-2507
Qwen/Qwen3-4B-Instruct-2507-FP8
""",
    },
)
