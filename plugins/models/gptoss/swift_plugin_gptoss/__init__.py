"""gpt-oss 20B and 120B: sparse experts, attention sinks, harmony format."""

from swift_core import Family, Modules

card = Family(
    name="gpt_oss",
    summary="gpt-oss 20B and 120B: sparse experts, attention sinks, harmony format.",
    architectures=("GptOssForCausalLM",),
    config_types=("gpt_oss",),
    modules=Modules(language_model=("model", "lm_head")),
    skip_files=("metal/*", "original/*"),
    checkpoints={
        "gpt_oss": """
openai-mirror/gpt-oss-20b = openai/gpt-oss-20b
openai-mirror/gpt-oss-120b = openai/gpt-oss-120b
""",
    },
)
