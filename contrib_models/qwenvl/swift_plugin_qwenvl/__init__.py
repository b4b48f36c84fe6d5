"""Qwen-VL: pictures and boxes on Qwen."""

from swift_core.models import Family, Modules

card = Family(
    name="qwen_vl",
    summary="Qwen-VL: pictures and boxes on Qwen.",
    architectures=("QWenLMHeadModel",),
    tells={"visual": True},
    modality=("text", "image"),
    modules=Modules(language_model=("transformer.h",), vision_tower=("transformer.visual",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no QWenLMHeadModel",
    extra_files=("SimSun.ttf",),
    checkpoints={
        "qwen_vl": """
Qwen/Qwen-VL-Chat
Qwen/Qwen-VL
Qwen/Qwen-VL-Chat-Int4
""",
    },
)
