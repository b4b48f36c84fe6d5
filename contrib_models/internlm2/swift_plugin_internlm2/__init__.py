"""InternLM 2 and 2.5, also for mathematics."""

from swift_core import Family, Modules

card = Family(
    name="internlm2",
    summary="InternLM 2 and 2.5, also for mathematics.",
    architectures=("InternLM2ForCausalLM",),
    modules=Modules(language_model=("model", "output")),
    remote_code="its modeling code lies in the checkpoint; transformers has no InternLM2ForCausalLM",
    checkpoints={
        "internlm2": """
Shanghai_AI_Laboratory/internlm2-chat-1_8b = internlm/internlm2-chat-1_8b
Shanghai_AI_Laboratory/internlm2-1_8b = internlm/internlm2-1_8b
Shanghai_AI_Laboratory/internlm2-chat-1_8b-sft = internlm/internlm2-chat-1_8b-sft
Shanghai_AI_Laboratory/internlm2-base-7b = internlm/internlm2-base-7b
Shanghai_AI_Laboratory/internlm2-7b = internlm/internlm2-7b
Shanghai_AI_Laboratory/internlm2-chat-7b = internlm/internlm2-chat-7b
Shanghai_AI_Laboratory/internlm2-chat-7b-sft = internlm/internlm2-chat-7b-sft
Shanghai_AI_Laboratory/internlm2-base-20b = internlm/internlm2-base-20b
Shanghai_AI_Laboratory/internlm2-20b = internlm/internlm2-20b
Shanghai_AI_Laboratory/internlm2-chat-20b = internlm/internlm2-chat-20b
Shanghai_AI_Laboratory/internlm2-chat-20b-sft = internlm/internlm2-chat-20b-sft
Shanghai_AI_Laboratory/internlm2-math-7b = internlm/internlm2-math-7b
Shanghai_AI_Laboratory/internlm2-math-base-7b = internlm/internlm2-math-base-7b
Shanghai_AI_Laboratory/internlm2-math-base-20b = internlm/internlm2-math-base-20b
Shanghai_AI_Laboratory/internlm2-math-20b = internlm/internlm2-math-20b
Shanghai_AI_Laboratory/internlm2_5-1_8b-chat = internlm/internlm2_5-1_8b-chat
Shanghai_AI_Laboratory/internlm2_5-1_8b = internlm/internlm2_5-1_8b
Shanghai_AI_Laboratory/internlm2_5-7b = internlm/internlm2_5-7b
Shanghai_AI_Laboratory/internlm2_5-7b-chat = internlm/internlm2_5-7b-chat
Shanghai_AI_Laboratory/internlm2_5-7b-chat-1m = internlm/internlm2_5-7b-chat-1m
Shanghai_AI_Laboratory/internlm2_5-20b = internlm/internlm2_5-20b
Shanghai_AI_Laboratory/internlm2_5-20b-chat = internlm/internlm2_5-20b-chat
""",
    },
)
