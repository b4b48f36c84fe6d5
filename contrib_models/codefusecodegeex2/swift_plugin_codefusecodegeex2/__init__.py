"""CodeFuse on CodeGeeX2."""

from swift_core import Family, Modules

card = Family(
    name="codefuse_codegeex2",
    summary="CodeFuse on CodeGeeX2.",
    architectures=("ChatGLMModel", "ChatGLMForConditionalGeneration"),
    named=("codefuse",),
    modules=Modules(language_model=("transformer",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no ChatGLMModel",
    requires=("transformers<4.34",),
    checkpoints={
        "codefuse": """
codefuse-ai/CodeFuse-CodeGeeX2-6B
""",
    },
)
