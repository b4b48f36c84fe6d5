"""ERNIE 4.5 VL: pictures and videos with experts per modality."""

from swift_core import Family, Modules

card = Family(
    name="ernie_vl",
    summary="ERNIE 4.5 VL: pictures and videos with experts per modality.",
    architectures=("Ernie4_5_VLMoeForConditionalGeneration",),
    config_types=("ernie4_5_vl_moe",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.resampler_model",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "ernie_vl": """
PaddlePaddle/ERNIE-4.5-VL-28B-A3B-PT = baidu/ERNIE-4.5-VL-28B-A3B-PT
PaddlePaddle/ERNIE-4.5-VL-424B-A47B-PT = baidu/ERNIE-4.5-VL-424B-A47B-PT
PaddlePaddle/ERNIE-4.5-VL-28B-A3B-Base-PT = baidu/ERNIE-4.5-VL-28B-A3B-Base-PT
PaddlePaddle/ERNIE-4.5-VL-424B-A47B-Base-PT = baidu/ERNIE-4.5-VL-424B-A47B-Base-PT
""",
        "ernie_vl_thinking": """
PaddlePaddle/ERNIE-4.5-VL-28B-A3B-Thinking = baidu/ERNIE-4.5-VL-28B-A3B-Thinking
""",
    },
)
