"""Command R and Command R+."""

from swift_core import Family, Modules

card = Family(
    name="c4ai",
    summary="Command R and Command R+.",
    architectures=("CohereForCausalLM",),
    config_types=("cohere",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "c4ai": """
AI-ModelScope/c4ai-command-r-v01 = CohereForAI/c4ai-command-r-v01
AI-ModelScope/c4ai-command-r-plus = CohereForAI/c4ai-command-r-plus
""",
    },
)
