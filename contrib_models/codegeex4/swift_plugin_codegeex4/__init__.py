"""CodeGeeX4 9B: code on GLM-4."""

from swift_core import Family, Modules

card = Family(
    name="codegeex4",
    summary="CodeGeeX4 9B: code on GLM-4.",
    architectures=("ChatGLMModel", "ChatGLMForConditionalGeneration"),
    named=("codegeex4",),
    modules=Modules(language_model=("transformer",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no ChatGLMModel",
    requires=("transformers<4.42",),
    checkpoints={
        "codegeex4": """
ZhipuAI/codegeex4-all-9b = zai-org/codegeex4-all-9b
""",
    },
)
