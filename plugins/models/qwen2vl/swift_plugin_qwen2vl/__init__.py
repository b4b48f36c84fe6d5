"""Qwen2-VL: images and videos at native resolution."""

from swift_core import Family, Modules

card = Family(
    name="qwen2_vl",
    summary="Qwen2-VL: images and videos at native resolution.",
    architectures=("Qwen2VLForConditionalGeneration",),
    config_types=("qwen2_vl",),
    modality=("text", "image", "video"),
    bbox="qwen2_vl",
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.visual.merger",),
        vision_tower=("model.visual",),
    ),
    checkpoints={
        "qwen2_vl": """
Qwen/Qwen2-VL-2B-Instruct
Qwen/Qwen2-VL-7B-Instruct
Qwen/Qwen2-VL-72B-Instruct
Qwen/Qwen2-VL-2B
Qwen/Qwen2-VL-7B
Qwen/Qwen2-VL-72B
Qwen/Qwen2-VL-2B-Instruct-GPTQ-Int4
Qwen/Qwen2-VL-7B-Instruct-GPTQ-Int4
Qwen/Qwen2-VL-72B-Instruct-GPTQ-Int4
Qwen/Qwen2-VL-2B-Instruct-GPTQ-Int8
Qwen/Qwen2-VL-7B-Instruct-GPTQ-Int8
Qwen/Qwen2-VL-72B-Instruct-GPTQ-Int8
Qwen/Qwen2-VL-2B-Instruct-AWQ
Qwen/Qwen2-VL-7B-Instruct-AWQ
Qwen/Qwen2-VL-72B-Instruct-AWQ
bytedance-research/UI-TARS-2B-SFT
bytedance-research/UI-TARS-7B-SFT
bytedance-research/UI-TARS-7B-DPO
bytedance-research/UI-TARS-72B-SFT
bytedance-research/UI-TARS-72B-DPO
allenai/olmOCR-7B-0225-preview
OpenDataLab/MinerU2.5-Pro-2604-1.2B = opendatalab/MinerU2.5-Pro-2604-1.2B
""",
        "qvq": """
Qwen/QVQ-72B-Preview
""",
    },
)
