"""DeepSeek-V2, V2.5 and Coder-V2: latent attention and sparse experts."""

from swift_core import Family, Modules

card = Family(
    name="deepseek_v2",
    summary="DeepSeek-V2, V2.5 and Coder-V2: latent attention and sparse experts.",
    architectures=("DeepseekV2ForCausalLM",),
    config_types=("deepseek_v2",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "deepseek": """
deepseek-ai/DeepSeek-Coder-V2-Instruct
deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct
deepseek-ai/DeepSeek-Coder-V2-Base
deepseek-ai/DeepSeek-Coder-V2-Lite-Base
deepseek-ai/DeepSeek-V2-Lite
deepseek-ai/DeepSeek-V2-Lite-Chat
deepseek-ai/DeepSeek-V2
deepseek-ai/DeepSeek-V2-Chat
""",
        "deepseek_v2_5": """
deepseek-ai/DeepSeek-V2.5
deepseek-ai/DeepSeek-V2.5-1210
""",
    },
)
