"""Llama 1 to 3.3 and the many models of the same architecture."""

from swift_core import Family, Modules

card = Family(
    name="llama",
    summary="Llama 1 to 3.3 and the many models of the same architecture.",
    architectures=("LlamaForCausalLM",),
    config_types=("llama",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "llama": """
modelscope/Llama-2-7b-ms = meta-llama/Llama-2-7b-hf
modelscope/Llama-2-13b-ms = meta-llama/Llama-2-13b-hf
modelscope/Llama-2-70b-ms = meta-llama/Llama-2-70b-hf
modelscope/Llama-2-7b-chat-ms = meta-llama/Llama-2-7b-chat-hf
modelscope/Llama-2-13b-chat-ms = meta-llama/Llama-2-13b-chat-hf
modelscope/Llama-2-70b-chat-ms = meta-llama/Llama-2-70b-chat-hf
AI-ModelScope/chinese-llama-2-1.3b = hfl/chinese-llama-2-1.3b
AI-ModelScope/chinese-llama-2-7b = hfl/chinese-llama-2-7b
AI-ModelScope/chinese-llama-2-7b-16k = hfl/chinese-llama-2-7b-16k
AI-ModelScope/chinese-llama-2-7b-64k = hfl/chinese-llama-2-7b-64k
AI-ModelScope/chinese-llama-2-13b = hfl/chinese-llama-2-13b
AI-ModelScope/chinese-llama-2-13b-16k = hfl/chinese-llama-2-13b-16k
AI-ModelScope/chinese-alpaca-2-1.3b = hfl/chinese-alpaca-2-1.3b
AI-ModelScope/chinese-alpaca-2-7b = hfl/chinese-alpaca-2-7b
AI-ModelScope/chinese-alpaca-2-7b-16k = hfl/chinese-alpaca-2-7b-16k
AI-ModelScope/chinese-alpaca-2-7b-64k = hfl/chinese-alpaca-2-7b-64k
AI-ModelScope/chinese-alpaca-2-13b = hfl/chinese-alpaca-2-13b
AI-ModelScope/chinese-alpaca-2-13b-16k = hfl/chinese-alpaca-2-13b-16k
AI-ModelScope/Llama-2-7b-AQLM-2Bit-1x16-hf = ISTA-DASLab/Llama-2-7b-AQLM-2Bit-1x16-hf
""",
        "atom": """
FlagAlpha/Atom-7B
FlagAlpha/Atom-7B-Chat
""",
        "mengzi": """
langboat/Mengzi3-13B-Base = Langboat/Mengzi3-13B-Base
""",
        "numina": """
AI-ModelScope/NuminaMath-7B-TIR = AI-MO/NuminaMath-7B-TIR
""",
        "ziya": """
Fengshenbang/Ziya2-13B-Base = IDEA-CCNL/Ziya2-13B-Base
Fengshenbang/Ziya2-13B-Chat = IDEA-CCNL/Ziya2-13B-Chat
""",
        "megrez": """
InfiniAI/Megrez-3b-Instruct = Infinigence/Megrez-3B-Instruct
""",
        "deepseek": """
deepseek-ai/deepseek-llm-7b-base
deepseek-ai/deepseek-llm-7b-chat
deepseek-ai/deepseek-llm-67b-base
deepseek-ai/deepseek-llm-67b-chat
deepseek-ai/deepseek-math-7b-base
deepseek-ai/deepseek-math-7b-instruct
deepseek-ai/deepseek-math-7b-rl
deepseek-ai/deepseek-coder-1.3b-base
deepseek-ai/deepseek-coder-1.3b-instruct
deepseek-ai/deepseek-coder-6.7b-base
deepseek-ai/deepseek-coder-6.7b-instruct
deepseek-ai/deepseek-coder-33b-base
deepseek-ai/deepseek-coder-33b-instruct
""",
        "minimind": """
gongjy/MiniMind2 = jingyaogong/MiniMind2
= jingyaogong/MiniMind2-Small
""",
        "llama3": """
LLM-Research/Meta-Llama-3-8B-Instruct = meta-llama/Meta-Llama-3-8B-Instruct
LLM-Research/Meta-Llama-3-70B-Instruct = meta-llama/Meta-Llama-3-70B-Instruct
LLM-Research/Meta-Llama-3-8B = meta-llama/Meta-Llama-3-8B
LLM-Research/Meta-Llama-3-70B = meta-llama/Meta-Llama-3-70B
swift/Meta-Llama-3-8B-Instruct-GPTQ-Int4 = study-hjt/Meta-Llama-3-8B-Instruct-GPTQ-Int4
swift/Meta-Llama-3-8B-Instruct-GPTQ-Int8 = study-hjt/Meta-Llama-3-8B-Instruct-GPTQ-Int8
swift/Meta-Llama-3-8B-Instruct-AWQ = study-hjt/Meta-Llama-3-8B-Instruct-AWQ
swift/Meta-Llama-3-70B-Instruct-GPTQ-Int4 = study-hjt/Meta-Llama-3-70B-Instruct-GPTQ-Int4
swift/Meta-Llama-3-70B-Instruct-GPTQ-Int8 = study-hjt/Meta-Llama-3-70B-Instruct-GPTQ-Int8
swift/Meta-Llama-3-70B-Instruct-AWQ = study-hjt/Meta-Llama-3-70B-Instruct-AWQ
ChineseAlpacaGroup/llama-3-chinese-8b-instruct = hfl/llama-3-chinese-8b-instruct
ChineseAlpacaGroup/llama-3-chinese-8b = hfl/llama-3-chinese-8b
""",
        "llama3_2": """
LLM-Research/Meta-Llama-3.1-8B-Instruct = meta-llama/Meta-Llama-3.1-8B-Instruct
LLM-Research/Meta-Llama-3.1-70B-Instruct = meta-llama/Meta-Llama-3.1-70B-Instruct
LLM-Research/Meta-Llama-3.1-405B-Instruct = meta-llama/Meta-Llama-3.1-405B-Instruct
LLM-Research/Meta-Llama-3.1-8B = meta-llama/Meta-Llama-3.1-8B
LLM-Research/Meta-Llama-3.1-70B = meta-llama/Meta-Llama-3.1-70B
LLM-Research/Meta-Llama-3.1-405B = meta-llama/Meta-Llama-3.1-405B
LLM-Research/Meta-Llama-3.1-70B-Instruct-FP8 = meta-llama/Meta-Llama-3.1-70B-Instruct-FP8
LLM-Research/Meta-Llama-3.1-405B-Instruct-FP8 = meta-llama/Meta-Llama-3.1-405B-Instruct-FP8
LLM-Research/Meta-Llama-3.1-8B-Instruct-BNB-NF4 = hugging-quants/Meta-Llama-3.1-8B-Instruct-BNB-NF4
LLM-Research/Meta-Llama-3.1-70B-Instruct-bnb-4bit = unsloth/Meta-Llama-3.1-70B-Instruct-bnb-4bit
LLM-Research/Meta-Llama-3.1-405B-Instruct-BNB-NF4 = hugging-quants/Meta-Llama-3.1-405B-Instruct-BNB-NF4
LLM-Research/Meta-Llama-3.1-8B-Instruct-GPTQ-INT4 = hugging-quants/Meta-Llama-3.1-8B-Instruct-GPTQ-INT4
LLM-Research/Meta-Llama-3.1-70B-Instruct-GPTQ-INT4 = hugging-quants/Meta-Llama-3.1-70B-Instruct-GPTQ-INT4
LLM-Research/Meta-Llama-3.1-405B-Instruct-GPTQ-INT4 = hugging-quants/Meta-Llama-3.1-405B-Instruct-GPTQ-INT4
LLM-Research/Meta-Llama-3.1-8B-Instruct-AWQ-INT4 = hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4
LLM-Research/Meta-Llama-3.1-70B-Instruct-AWQ-INT4 = hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4
LLM-Research/Meta-Llama-3.1-405B-Instruct-AWQ-INT4 = hugging-quants/Meta-Llama-3.1-405B-Instruct-AWQ-INT4
AI-ModelScope/Llama-3.1-Nemotron-70B-Instruct-HF = nvidia/Llama-3.1-Nemotron-70B-Instruct-HF
LLM-Research/Llama-3.2-1B = meta-llama/Llama-3.2-1B
LLM-Research/Llama-3.2-3B = meta-llama/Llama-3.2-3B
LLM-Research/Llama-3.2-1B-Instruct = meta-llama/Llama-3.2-1B-Instruct
LLM-Research/Llama-3.2-3B-Instruct = meta-llama/Llama-3.2-3B-Instruct
LLM-Research/Llama-3.3-70B-Instruct = meta-llama/Llama-3.3-70B-Instruct
unsloth/Llama-3.3-70B-Instruct-bnb-4bit
""",
        "skywork_o1": """
AI-ModelScope/Skywork-o1-Open-Llama-3.1-8B = Skywork/Skywork-o1-Open-Llama-3.1-8B
""",
        "longwriter_llama": """
ZhipuAI/LongWriter-llama3.1-8b = zai-org/LongWriter-llama3.1-8b
""",
        "deepseek_r1": """
deepseek-ai/DeepSeek-R1-Distill-Llama-8B
deepseek-ai/DeepSeek-R1-Distill-Llama-70B
""",
        "minicpm5": """
OpenBMB/MiniCPM5-1B = openbmb/MiniCPM5-1B
OpenBMB/MiniCPM5-1B-Base = openbmb/MiniCPM5-1B-Base
OpenBMB/MiniCPM5-1B-SFT = openbmb/MiniCPM5-1B-SFT
""",
        "minicpm5_2b": """
OpenBMB/MiniCPM5-2B = openbmb/MiniCPM5-2B
OpenBMB/MiniCPM5-2B-Base = openbmb/MiniCPM5-2B-Base
OpenBMB/MiniCPM5-2B-SFT = openbmb/MiniCPM5-2B-SFT
""",
        "reflection": """
LLM-Research/Reflection-Llama-3.1-70B = mattshumer/Reflection-Llama-3.1-70B
""",
    },
)
