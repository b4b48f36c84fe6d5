"""ChatGLM3 6B, up to 128k tokens."""

from swift_core import Family, Modules

card = Family(
    name="chatglm3",
    summary="ChatGLM3 6B, up to 128k tokens.",
    architectures=("ChatGLMModel", "ChatGLMForConditionalGeneration"),
    tells={"padded_vocab_size": 65024},
    modules=Modules(language_model=("transformer",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no ChatGLMModel",
    requires=("transformers<4.42",),
    checkpoints={
        "chatglm4": """
ZhipuAI/chatglm3-6b = zai-org/chatglm3-6b
ZhipuAI/chatglm3-6b-base = zai-org/chatglm3-6b-base
ZhipuAI/chatglm3-6b-32k = zai-org/chatglm3-6b-32k
ZhipuAI/chatglm3-6b-128k = zai-org/chatglm3-6b-128k
""",
    },
)
