"""Valley Eagle 7B: pictures and videos of commerce."""

from swift_core import Family, Modules

card = Family(
    name="valley",
    summary="Valley Eagle 7B: pictures and videos of commerce.",
    architectures=("ValleyQwen2ForCausalLM",),
    modality=("text", "image", "video"),
    modules=Modules(language_model=("model",), vision_tower=("model.vision_tower", "model.qwen2vl_vision_tower")),
    remote_code="its modeling code lies in the checkpoint; transformers has no ValleyQwen2ForCausalLM",
    requires=("av",),
    checkpoints={
        "valley": """
bytedance-research/Valley-Eagle-7B =
""",
    },
)
