"""GLM-Edge: chat on phones and cars."""

from swift_core import Family, Modules

card = Family(
    name="glm_edge",
    summary="GLM-Edge: chat on phones and cars.",
    architectures=("GlmForCausalLM",),
    config_types=("glm",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "chatglm4": """
ZhipuAI/glm-edge-1.5b-chat = zai-org/glm-edge-1.5b-chat
ZhipuAI/glm-edge-4b-chat = zai-org/glm-edge-4b-chat
""",
    },
)
