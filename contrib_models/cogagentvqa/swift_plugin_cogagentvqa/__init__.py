"""CogAgent: single questions about screens."""

from swift_core import Family, Modules

card = Family(
    name="cogagent_vqa",
    bbox="cogvlm",
    summary="CogAgent: single questions about screens.",
    architectures=("CogAgentForCausalLM",),
    modality=("text", "image"),
    modules=Modules(language_model=("model.layers",), vision_tower=("model.vision",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no CogAgentForCausalLM",
    requires=("transformers<4.42",),
    checkpoints={
        "cogagent_vqa": """
ZhipuAI/cogagent-vqa = zai-org/cogagent-vqa-hf
""",
    },
)
