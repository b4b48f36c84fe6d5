"""CogVLM2-Video: videos on Llama 3 8B."""

from swift_core import Family, Modules

card = Family(
    name="cogvlm2_video",
    summary="CogVLM2-Video: videos on Llama 3 8B.",
    architectures=("CogVLMVideoForCausalLM",),
    modality=("text", "video"),
    modules=Modules(language_model=("model.layers",), vision_tower=("model.vision",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no CogVLMVideoForCausalLM",
    requires=("decord", "pytorchvideo"),
    checkpoints={
        "cogvlm2_video": """
ZhipuAI/cogvlm2-video-llama3-chat = zai-org/cogvlm2-video-llama3-chat
""",
    },
)
