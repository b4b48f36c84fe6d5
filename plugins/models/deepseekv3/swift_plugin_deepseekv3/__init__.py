"""DeepSeek-V3, V3.1 and R1, Kimi K2 and Moonlight: latent attention and sparse experts."""

from swift_core import Family, Modules

card = Family(
    name="deepseek_v3",
    summary="DeepSeek-V3, V3.1 and R1, Kimi K2 and Moonlight: latent attention and sparse experts.",
    architectures=("DeepseekV3ForCausalLM",),
    config_types=("deepseek_v3",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "deepseek_v2_5": """
deepseek-ai/DeepSeek-V3-Base
deepseek-ai/DeepSeek-V3
deepseek-ai/DeepSeek-V3-0324
cognitivecomputations/DeepSeek-V3-awq = cognitivecomputations/DeepSeek-V3-AWQ
cognitivecomputations/DeepSeek-V3-0324-AWQ
deepseek-ai/DeepSeek-Prover-V2-7B
deepseek-ai/DeepSeek-Prover-V2-671B
unsloth/DeepSeek-V3-bf16
unsloth/DeepSeek-V3-0324-BF16
unsloth/DeepSeek-Prover-V2-671B-BF16
""",
        "deepseek_r1": """
deepseek-ai/DeepSeek-R1
deepseek-ai/DeepSeek-R1-Zero
deepseek-ai/DeepSeek-R1-0528
cognitivecomputations/DeepSeek-R1-awq = cognitivecomputations/DeepSeek-R1-AWQ
cognitivecomputations/DeepSeek-R1-0528-AWQ
unsloth/DeepSeek-R1-BF16
unsloth/DeepSeek-R1-Zero-BF16
unsloth/DeepSeek-R1-0528-BF16
""",
        "moonlight": """
moonshotai/Moonlight-16B-A3B
moonshotai/Moonlight-16B-A3B-Instruct
""",
        "kimi_k2": """
moonshotai/Kimi-K2-Base
moonshotai/Kimi-K2-Instruct
moonshotai/Kimi-K2-Instruct-0905
moonshotai/Kimi-K2-Thinking
""",
        "deepseek_v3_1": """
deepseek-ai/DeepSeek-V3.1-Base
deepseek-ai/DeepSeek-V3.1
deepseek-ai/DeepSeek-V3.1-Terminus
""",
    },
)
