"""Qwen3 mixture of experts and Qwen3-Coder."""

from swift_core import Family, Modules

card = Family(
    name="qwen3_moe",
    summary="Qwen3 mixture of experts and Qwen3-Coder.",
    architectures=("Qwen3MoeForCausalLM",),
    config_types=("qwen3_moe",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "qwen3": """
Qwen/Qwen3-30B-A3B-Base
Qwen/Qwen3-30B-A3B
Qwen/Qwen3-235B-A22B
Qwen/Qwen3-30B-A3B-FP8
Qwen/Qwen3-235B-A22B-FP8
swift/Qwen3-30B-A3B-AWQ = cognitivecomputations/Qwen3-30B-A3B-AWQ
swift/Qwen3-235B-A22B-AWQ = cognitivecomputations/Qwen3-235B-A22B-AWQ
iic/Tongyi-DeepResearch-30B-A3B = Alibaba-NLP/Tongyi-DeepResearch-30B-A3B
""",
        "qwen3_nothinking": """
Qwen/Qwen3-30B-A3B-Instruct-2507
Qwen/Qwen3-30B-A3B-Instruct-2507-FP8
Qwen/Qwen3-235B-A22B-Instruct-2507
Qwen/Qwen3-235B-A22B-Instruct-2507-FP8
swift/Qwen3-235B-A22B-Instruct-2507-AWQ =
AIDC-AI/Marco-Nano-Base
AIDC-AI/Marco-Nano-Instruct
AIDC-AI/Marco-Mini-Base
AIDC-AI/Marco-Mini-Instruct
AIDC-AI/Marco-Mini-Global-Base
""",
        "qwen3_coder": """
Qwen/Qwen3-Coder-30B-A3B-Instruct
Qwen/Qwen3-Coder-30B-A3B-Instruct-FP8
Qwen/Qwen3-Coder-480B-A35B-Instruct
Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8
swift/Qwen3-Coder-480B-A35B-Instruct-AWQ =
""",
        "qwen3_thinking": """
iic/QwenLong-L1.5-30B-A3B = Tongyi-Zhiwen/QwenLong-L1.5-30B-A3B
Qwen/Qwen3-30B-A3B-Thinking-2507
Qwen/Qwen3-30B-A3B-Thinking-2507-FP8
Qwen/Qwen3-235B-A22B-Thinking-2507
Qwen/Qwen3-235B-A22B-Thinking-2507-FP8
swift/Qwen3-235B-A22B-Thinking-2507-AWQ =
""",
    },
)
