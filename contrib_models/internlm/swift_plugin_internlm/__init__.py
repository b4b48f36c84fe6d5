"""InternLM 7B and 20B, the first generation."""

from swift_core import Family, Modules

card = Family(
    name="internlm",
    summary="InternLM 7B and 20B, the first generation.",
    architectures=("InternLMForCausalLM",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no InternLMForCausalLM",
    checkpoints={
        "internlm": """
Shanghai_AI_Laboratory/internlm-chat-7b = internlm/internlm-chat-7b
Shanghai_AI_Laboratory/internlm-7b = internlm/internlm-7b
Shanghai_AI_Laboratory/internlm-chat-7b-8k =
Shanghai_AI_Laboratory/internlm-20b = internlm/internlm-20b
Shanghai_AI_Laboratory/internlm-chat-20b = internlm/internlm-chat-20b
""",
    },
)
