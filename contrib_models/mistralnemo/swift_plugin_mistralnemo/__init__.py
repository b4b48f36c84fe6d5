"""Mistral Nemo, Small 2409, Large 2407 and Ministral 8B."""

from swift_core import Family, Modules

card = Family(
    name="mistral_nemo",
    summary="Mistral Nemo, Small 2409, Large 2407 and Ministral 8B.",
    architectures=("MistralForCausalLM",),
    config_types=("mistral",),
    tells={"vocab_size": 131072, "intermediate_size": (12288, 14336)},
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "mistral_nemo": """
AI-ModelScope/Mistral-Small-Instruct-2409 = mistralai/Mistral-Small-Instruct-2409
LLM-Research/Mistral-Large-Instruct-2407 = mistralai/Mistral-Large-Instruct-2407
AI-ModelScope/Mistral-Nemo-Base-2407 = mistralai/Mistral-Nemo-Base-2407
AI-ModelScope/Mistral-Nemo-Instruct-2407 = mistralai/Mistral-Nemo-Instruct-2407
AI-ModelScope/Ministral-8B-Instruct-2410 = mistralai/Ministral-8B-Instruct-2410
""",
    },
)
