"""InternVL 3 and 3.5 in transformers' own classes."""

from swift_core import Family, Modules

card = Family(
    name="internvl",
    bbox="internvl",
    summary="InternVL 3 and 3.5 in transformers' own classes.",
    architectures=("InternVLForConditionalGeneration",),
    config_types=("internvl",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "internvl_hf": """
OpenGVLab/InternVL3-1B-hf
OpenGVLab/InternVL3-2B-hf
OpenGVLab/InternVL3-8B-hf
OpenGVLab/InternVL3-9B-hf
OpenGVLab/InternVL3-14B-hf
OpenGVLab/InternVL3-38B-hf
OpenGVLab/InternVL3-78B-hf
OpenGVLab/InternVL3_5-1B-HF
OpenGVLab/InternVL3_5-2B-HF
OpenGVLab/InternVL3_5-4B-HF
OpenGVLab/InternVL3_5-8B-HF
OpenGVLab/InternVL3_5-14B-HF
OpenGVLab/InternVL3_5-38B-HF
OpenGVLab/InternVL3_5-30B-A3B-HF
OpenGVLab/InternVL3_5-241B-A28B-HF
OpenGVLab/InternVL3_5-GPT-OSS-20B-A4B-Preview-HF
""",
    },
)
