"""GLM-4V 9B and CogAgent 9B: pictures on GLM-4."""

from swift_core import Family, Modules

card = Family(
    name="chatglm4v",
    summary="GLM-4V 9B and CogAgent 9B: pictures on GLM-4.",
    architectures=("ChatGLMModel", "ChatGLMForConditionalGeneration"),
    tells={"vision_config": True},
    modality=("text", "image"),
    modules=Modules(language_model=("transformer.encoder",), vision_tower=("transformer.vision",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no ChatGLMModel",
    checkpoints={
        "chatglm4v": """
ZhipuAI/glm-4v-9b = zai-org/glm-4v-9b
ZhipuAI/cogagent-9b-20241220 = zai-org/cogagent-9b-20241220
""",
    },
)
