"""Mistral 7B and Codestral 22B."""

from swift_core import Family, Modules

card = Family(
    name="mistral",
    summary="Mistral 7B and Codestral 22B.",
    architectures=("MistralForCausalLM",),
    config_types=("mistral",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "llama": """
AI-ModelScope/Mistral-7B-Instruct-v0.1 = mistralai/Mistral-7B-Instruct-v0.1
AI-ModelScope/Mistral-7B-Instruct-v0.2 = mistralai/Mistral-7B-Instruct-v0.2
LLM-Research/Mistral-7B-Instruct-v0.3 = mistralai/Mistral-7B-Instruct-v0.3
AI-ModelScope/Mistral-7B-v0.1 = mistralai/Mistral-7B-v0.1
AI-ModelScope/Mistral-7B-v0.2-hf = alpindale/Mistral-7B-v0.2-hf
swift/Codestral-22B-v0.1 = mistralai/Codestral-22B-v0.1
""",
    },
)
