"""CogAgent: chat about screens at high resolution."""

from swift_core import Family, Modules

card = Family(
    name="cogagent_chat",
    bbox="cogvlm",
    summary="CogAgent: chat about screens at high resolution.",
    architectures=("CogAgentForCausalLM",),
    modality=("text", "image"),
    modules=Modules(language_model=("model.layers",), vision_tower=("model.vision",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no CogAgentForCausalLM",
    requires=("timm", "transformers<4.42"),
    checkpoints={
        "cogagent_chat": """
ZhipuAI/cogagent-chat = zai-org/cogagent-chat-hf
""",
    },
)
