"""ChatGLM2 6B and CodeGeeX2."""

from swift_core import Family, Modules

card = Family(
    name="chatglm2",
    summary="ChatGLM2 6B and CodeGeeX2.",
    architectures=("ChatGLMModel", "ChatGLMForConditionalGeneration"),
    tells={"padded_vocab_size": 65024},
    modules=Modules(language_model=("transformer",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no ChatGLMModel",
    checkpoints={
        "chatglm2": """
ZhipuAI/chatglm2-6b = zai-org/chatglm2-6b
ZhipuAI/chatglm2-6b-32k = zai-org/chatglm2-6b-32k
ZhipuAI/codegeex2-6b = zai-org/codegeex2-6b
""",
    },
)
