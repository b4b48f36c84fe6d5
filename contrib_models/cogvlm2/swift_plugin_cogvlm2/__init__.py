"""CogVLM2: visual experts on Llama 3 8B, English and Chinese."""

from swift_core import Family, Modules

card = Family(
    name="cogvlm2",
    bbox="cogvlm",
    summary="CogVLM2: visual experts on Llama 3 8B, English and Chinese.",
    architectures=("CogVLMForCausalLM",),
    tells={"vocab_size": 128256},
    modality=("text", "image"),
    modules=Modules(language_model=("model.layers",), vision_tower=("model.vision",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no CogVLMForCausalLM",
    requires=("transformers<4.42",),
    checkpoints={
        "cogvlm2": """
ZhipuAI/cogvlm2-llama3-chat-19B = zai-org/cogvlm2-llama3-chat-19B
ZhipuAI/cogvlm2-llama3-chinese-chat-19B = zai-org/cogvlm2-llama3-chinese-chat-19B
""",
    },
)
