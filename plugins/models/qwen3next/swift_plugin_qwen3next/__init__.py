"""Qwen3-Next 80B: gated delta networks and sparse experts."""

from swift_core import Family, Modules

card = Family(
    name="qwen3_next",
    summary="Qwen3-Next 80B: gated delta networks and sparse experts.",
    architectures=("Qwen3NextForCausalLM",),
    config_types=("qwen3_next",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "qwen3_nothinking": """
Qwen/Qwen3-Next-80B-A3B-Instruct =
Qwen/Qwen3-Next-80B-A3B-Instruct-FP8 =
""",
        "qwen3_thinking": """
Qwen/Qwen3-Next-80B-A3B-Thinking =
Qwen/Qwen3-Next-80B-A3B-Thinking-FP8 =
""",
        "qwen3_coder": """
Qwen/Qwen3-Coder-Next-Base
Qwen/Qwen3-Coder-Next
Qwen/Qwen3-Coder-Next-FP8
""",
    },
)
