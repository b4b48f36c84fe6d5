"""OpenBuddy on Llama, Yi and DeepSeek."""

from swift_core import Family, Modules

card = Family(
    name="openbuddy_llama",
    summary="OpenBuddy on Llama, Yi and DeepSeek.",
    architectures=("LlamaForCausalLM",),
    config_types=("llama",),
    named=("openbuddy",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "openbuddy": """
OpenBuddy/openbuddy-llama-65b-v8-bf16
OpenBuddy/openbuddy-llama2-13b-v8.1-fp16
OpenBuddy/openbuddy-llama2-70b-v10.1-bf16
OpenBuddy/openbuddy-deepseek-67b-v15.2
""",
        "openbuddy2": """
OpenBuddy/openbuddy-llama3-8b-v21.1-8k
OpenBuddy/openbuddy-llama3-70b-v21.1-8k
OpenBuddy/openbuddy-yi1.5-34b-v21.3-32k
OpenBuddy/openbuddy-llama3.1-8b-v22.1-131k
OpenBuddy/openbuddy-nemotron-70b-v23.2-131k
OpenBuddy/openbuddy-llama3.3-70b-v24.3-131k
""",
    },
)
