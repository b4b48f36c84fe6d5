"""Yi 1 and 1.5, Yi-Coder and SUS-Chat."""

from swift_core import Family, Modules

card = Family(
    name="yi",
    summary="Yi 1 and 1.5, Yi-Coder and SUS-Chat.",
    architectures=("LlamaForCausalLM",),
    config_types=("llama",),
    tells={"vocab_size": 64000},
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "chatml": """
01ai/Yi-6B = 01-ai/Yi-6B
01ai/Yi-6B-200K = 01-ai/Yi-6B-200K
01ai/Yi-6B-Chat = 01-ai/Yi-6B-Chat
01ai/Yi-6B-Chat-4bits = 01-ai/Yi-6B-Chat-4bits
01ai/Yi-6B-Chat-8bits = 01-ai/Yi-6B-Chat-8bits
01ai/Yi-9B = 01-ai/Yi-9B
01ai/Yi-9B-200K = 01-ai/Yi-9B-200K
01ai/Yi-34B = 01-ai/Yi-34B
01ai/Yi-34B-200K = 01-ai/Yi-34B-200K
01ai/Yi-34B-Chat = 01-ai/Yi-34B-Chat
01ai/Yi-34B-Chat-4bits = 01-ai/Yi-34B-Chat-4bits
01ai/Yi-34B-Chat-8bits = 01-ai/Yi-34B-Chat-8bits
01ai/Yi-1.5-6B = 01-ai/Yi-1.5-6B
01ai/Yi-1.5-6B-Chat = 01-ai/Yi-1.5-6B-Chat
01ai/Yi-1.5-9B = 01-ai/Yi-1.5-9B
01ai/Yi-1.5-9B-Chat = 01-ai/Yi-1.5-9B-Chat
01ai/Yi-1.5-9B-Chat-16K = 01-ai/Yi-1.5-9B-Chat-16K
01ai/Yi-1.5-34B = 01-ai/Yi-1.5-34B
01ai/Yi-1.5-34B-Chat = 01-ai/Yi-1.5-34B-Chat
01ai/Yi-1.5-34B-Chat-16K = 01-ai/Yi-1.5-34B-Chat-16K
AI-ModelScope/Yi-1.5-6B-Chat-GPTQ = modelscope/Yi-1.5-6B-Chat-GPTQ
AI-ModelScope/Yi-1.5-6B-Chat-AWQ = modelscope/Yi-1.5-6B-Chat-AWQ
AI-ModelScope/Yi-1.5-9B-Chat-GPTQ = modelscope/Yi-1.5-9B-Chat-GPTQ
AI-ModelScope/Yi-1.5-9B-Chat-AWQ = modelscope/Yi-1.5-9B-Chat-AWQ
AI-ModelScope/Yi-1.5-34B-Chat-GPTQ = modelscope/Yi-1.5-34B-Chat-GPTQ
AI-ModelScope/Yi-1.5-34B-Chat-AWQ = modelscope/Yi-1.5-34B-Chat-AWQ
""",
        "yi_coder": """
01ai/Yi-Coder-1.5B = 01-ai/Yi-Coder-1.5B
01ai/Yi-Coder-9B = 01-ai/Yi-Coder-9B
01ai/Yi-Coder-1.5B-Chat = 01-ai/Yi-Coder-1.5B-Chat
01ai/Yi-Coder-9B-Chat = 01-ai/Yi-Coder-9B-Chat
""",
        "sus": """
SUSTC/SUS-Chat-34B = SUSTech/SUS-Chat-34B
""",
    },
)
