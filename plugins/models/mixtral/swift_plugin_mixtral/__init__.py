"""Mixtral 8x7B and 8x22B."""

from swift_core import Family, Modules

card = Family(
    name="mixtral",
    summary="Mixtral 8x7B and 8x22B.",
    architectures=("MixtralForCausalLM",),
    config_types=("mixtral",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "llama": """
AI-ModelScope/Mixtral-8x7B-Instruct-v0.1 = mistralai/Mixtral-8x7B-Instruct-v0.1
AI-ModelScope/Mixtral-8x7B-v0.1 = mistralai/Mixtral-8x7B-v0.1
AI-ModelScope/Mixtral-8x22B-v0.1 = mistral-community/Mixtral-8x22B-v0.1
AI-ModelScope/Mixtral-8x7b-AQLM-2Bit-1x16-hf = ISTA-DASLab/Mixtral-8x7b-AQLM-2Bit-1x16-hf
""",
    },
)
