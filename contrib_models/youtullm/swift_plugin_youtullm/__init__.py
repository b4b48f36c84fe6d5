"""Youtu-LLM 2B: latent attention."""

from swift_core import Family, Modules

card = Family(
    name="youtu_llm",
    summary="Youtu-LLM 2B: latent attention.",
    architectures=("YoutuForCausalLM",),
    config_types=("youtu",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "youtu_llm": """
Tencent-YouTu-Research/Youtu-LLM-2B = tencent/Youtu-LLM-2B
Tencent-YouTu-Research/Youtu-LLM-2B-Base = tencent/Youtu-LLM-2B-Base
""",
    },
)
