"""DeepSeekMoE 16B: fine-grained and shared experts."""

from swift_core import Family, Modules

card = Family(
    name="deepseek",
    summary="DeepSeekMoE 16B: fine-grained and shared experts.",
    architectures=("DeepseekForCausalLM",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no DeepseekForCausalLM",
    checkpoints={
        "deepseek": """
deepseek-ai/deepseek-moe-16b-chat
deepseek-ai/deepseek-moe-16b-base
""",
    },
)
