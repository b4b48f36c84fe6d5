"""CogVLM: a visual expert in every layer of Vicuna."""

from swift_core import Family, Modules

card = Family(
    name="cogvlm",
    bbox="cogvlm",
    summary="CogVLM: a visual expert in every layer of Vicuna.",
    architectures=("CogVLMForCausalLM",),
    tells={"vocab_size": 32000},
    modality=("text", "image"),
    modules=Modules(language_model=("model.layers",), vision_tower=("model.vision",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no CogVLMForCausalLM",
    requires=("transformers<4.42",),
    checkpoints={
        "cogvlm": """
ZhipuAI/cogvlm-chat = zai-org/cogvlm-chat-hf
""",
    },
)
