"""Qwen2.5-VL and MiMo-VL: pictures, videos and absolute time."""

from swift_core import Family, Modules

card = Family(
    name="qwen2_5_vl",
    summary="Qwen2.5-VL and MiMo-VL: pictures, videos and absolute time.",
    architectures=("Qwen2_5_VLForConditionalGeneration",),
    config_types=("qwen2_5_vl",),
    modality=("text", "image", "video"),
    bbox="real",
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.visual.merger",),
        vision_tower=("model.visual",),
    ),
    checkpoints={
        "qwen2_5_vl": """
Qwen/Qwen2.5-VL-3B-Instruct
Qwen/Qwen2.5-VL-7B-Instruct
Qwen/Qwen2.5-VL-32B-Instruct
Qwen/Qwen2.5-VL-72B-Instruct
Qwen/Qwen2.5-VL-3B-Instruct-AWQ
Qwen/Qwen2.5-VL-7B-Instruct-AWQ
Qwen/Qwen2.5-VL-32B-Instruct-AWQ
Qwen/Qwen2.5-VL-72B-Instruct-AWQ
""",
        "mimo_vl": """
XiaomiMiMo/MiMo-VL-7B-SFT
XiaomiMiMo/MiMo-VL-7B-RL
""",
    },
)
