"""CodeFuse on Code Llama 34B."""

from swift_core import Family, Modules

card = Family(
    name="codefuse_codellama",
    summary="CodeFuse on Code Llama 34B.",
    architectures=("LlamaForCausalLM",),
    config_types=("llama",),
    named=("codefuse",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "codefuse_codellama": """
codefuse-ai/CodeFuse-CodeLlama-34B
""",
    },
)
