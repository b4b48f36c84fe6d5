"""GLM-4 9B, first release, up to one million tokens."""

from swift_core import Family, Modules

card = Family(
    name="chatglm4",
    summary="GLM-4 9B, first release, up to one million tokens.",
    architectures=("ChatGLMModel", "ChatGLMForConditionalGeneration"),
    tells={"padded_vocab_size": 151552},
    modules=Modules(language_model=("transformer",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no ChatGLMModel",
    native="GlmForCausalLM",
    checkpoints={
        "chatglm4": """
ZhipuAI/glm-4-9b-chat = zai-org/glm-4-9b-chat
ZhipuAI/glm-4-9b = zai-org/glm-4-9b
ZhipuAI/glm-4-9b-chat-1m = zai-org/glm-4-9b-chat-1m
ZhipuAI/LongWriter-glm4-9b = zai-org/LongWriter-glm4-9b
""",
    },
)
