"""InternVL 1.5 to 3.5 in their original form."""

from swift_core import Family, Modules

card = Family(
    name="internvl_chat",
    bbox="internvl",
    summary="InternVL 1.5 to 3.5 in their original form.",
    architectures=("InternVLChatModel",),
    modality=("text", "image", "video"),
    modules=Modules(language_model=("language_model",), aligner=("mlp1",), vision_tower=("vision_model",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no InternVLChatModel",
    native="InternVLForConditionalGeneration",
    requires=("timm",),
    checkpoints={
        "internvl": """
OpenGVLab/Mini-InternVL-Chat-2B-V1-5
AI-ModelScope/InternVL-Chat-V1-5 = OpenGVLab/InternVL-Chat-V1-5
AI-ModelScope/InternVL-Chat-V1-5-int8 = OpenGVLab/InternVL-Chat-V1-5-int8
""",
        "internvl_phi3": """
OpenGVLab/Mini-InternVL-Chat-4B-V1-5
""",
        "internvl2": """
OpenGVLab/InternVL2-1B
OpenGVLab/InternVL2-2B
OpenGVLab/InternVL2-8B
OpenGVLab/InternVL2-26B
OpenGVLab/InternVL2-40B
OpenGVLab/InternVL2-Llama3-76B
OpenGVLab/InternVL2-2B-AWQ
OpenGVLab/InternVL2-8B-AWQ
OpenGVLab/InternVL2-26B-AWQ
OpenGVLab/InternVL2-40B-AWQ
OpenGVLab/InternVL2-Llama3-76B-AWQ
OpenGVLab/InternVL2-8B-MPO
OpenGVLab/InternVL2-Pretrain-Models:InternVL2-1B-Pretrain
OpenGVLab/InternVL2-Pretrain-Models:InternVL2-2B-Pretrain
OpenGVLab/InternVL2-Pretrain-Models:InternVL2-4B-Pretrain
OpenGVLab/InternVL2-Pretrain-Models:InternVL2-8B-Pretrain
OpenGVLab/InternVL2-Pretrain-Models:InternVL2-26B-Pretrain
OpenGVLab/InternVL2-Pretrain-Models:InternVL2-40B-Pretrain
OpenGVLab/InternVL2-Pretrain-Models:InternVL2-Llama3-76B-Pretrain
""",
        "internvl2_phi3": """
OpenGVLab/InternVL2-4B
""",
        "internvl2_5": """
OpenGVLab/InternVL2_5-1B
OpenGVLab/InternVL2_5-2B
OpenGVLab/InternVL2_5-4B
OpenGVLab/InternVL2_5-8B
OpenGVLab/InternVL2_5-26B
OpenGVLab/InternVL2_5-38B
OpenGVLab/InternVL2_5-78B
OpenGVLab/InternVL2_5-4B-AWQ
OpenGVLab/InternVL2_5-8B-AWQ
OpenGVLab/InternVL2_5-26B-AWQ
OpenGVLab/InternVL2_5-38B-AWQ
OpenGVLab/InternVL2_5-78B-AWQ
OpenGVLab/InternVL2_5-1B-MPO
OpenGVLab/InternVL2_5-2B-MPO
OpenGVLab/InternVL2_5-4B-MPO
OpenGVLab/InternVL2_5-8B-MPO
OpenGVLab/InternVL2_5-26B-MPO
OpenGVLab/InternVL2_5-38B-MPO
OpenGVLab/InternVL2_5-78B-MPO
OpenGVLab/InternVL3-1B-Pretrained
OpenGVLab/InternVL3-2B-Pretrained
OpenGVLab/InternVL3-8B-Pretrained
OpenGVLab/InternVL3-9B-Pretrained
OpenGVLab/InternVL3-14B-Pretrained
OpenGVLab/InternVL3-38B-Pretrained
OpenGVLab/InternVL3-78B-Pretrained
OpenGVLab/InternVL3-1B-Instruct
OpenGVLab/InternVL3-2B-Instruct
OpenGVLab/InternVL3-8B-Instruct
OpenGVLab/InternVL3-9B-Instruct
OpenGVLab/InternVL3-14B-Instruct
OpenGVLab/InternVL3-38B-Instruct
OpenGVLab/InternVL3-78B-Instruct
OpenGVLab/InternVL3-1B
OpenGVLab/InternVL3-2B
OpenGVLab/InternVL3-8B
OpenGVLab/InternVL3-9B
OpenGVLab/InternVL3-14B
OpenGVLab/InternVL3-38B
OpenGVLab/InternVL3-78B
OpenGVLab/InternVL3-1B-AWQ
OpenGVLab/InternVL3-2B-AWQ
OpenGVLab/InternVL3-8B-AWQ
OpenGVLab/InternVL3-9B-AWQ
OpenGVLab/InternVL3-14B-AWQ
OpenGVLab/InternVL3-38B-AWQ
OpenGVLab/InternVL3-78B-AWQ
SenseNova/SenseNova-SI-InternVL3-2B = sensenova/SenseNova-SI-InternVL3-2B
SenseNova/SenseNova-SI-InternVL3-8B = sensenova/SenseNova-SI-InternVL3-8B
SenseNova/SenseNova-SI-1.1-InternVL3-2B = sensenova/SenseNova-SI-1.1-InternVL3-2B
SenseNova/SenseNova-SI-1.1-InternVL3-8B = sensenova/SenseNova-SI-1.1-InternVL3-8B
""",
        "internvl3_5": """
OpenGVLab/InternVL3_5-1B-Pretrained
OpenGVLab/InternVL3_5-2B-Pretrained
OpenGVLab/InternVL3_5-4B-Pretrained
OpenGVLab/InternVL3_5-8B-Pretrained
OpenGVLab/InternVL3_5-14B-Pretrained
OpenGVLab/InternVL3_5-38B-Pretrained
OpenGVLab/InternVL3_5-30B-A3B-Pretrained
OpenGVLab/InternVL3_5-241B-A28B-Pretrained
OpenGVLab/InternVL3_5-1B-Instruct
OpenGVLab/InternVL3_5-2B-Instruct
OpenGVLab/InternVL3_5-4B-Instruct
OpenGVLab/InternVL3_5-8B-Instruct
OpenGVLab/InternVL3_5-14B-Instruct
OpenGVLab/InternVL3_5-38B-Instruct
OpenGVLab/InternVL3_5-30B-A3B-Instruct
OpenGVLab/InternVL3_5-241B-A28B-Instruct
OpenGVLab/InternVL3_5-1B-MPO
OpenGVLab/InternVL3_5-2B-MPO
OpenGVLab/InternVL3_5-4B-MPO
OpenGVLab/InternVL3_5-8B-MPO
OpenGVLab/InternVL3_5-14B-MPO
OpenGVLab/InternVL3_5-38B-MPO
OpenGVLab/InternVL3_5-30B-A3B-MPO
OpenGVLab/InternVL3_5-241B-A28B-MPO
OpenGVLab/InternVL3_5-1B
OpenGVLab/InternVL3_5-2B
OpenGVLab/InternVL3_5-4B
OpenGVLab/InternVL3_5-8B
OpenGVLab/InternVL3_5-14B
OpenGVLab/InternVL3_5-38B
OpenGVLab/InternVL3_5-30B-A3B
OpenGVLab/InternVL3_5-241B-A28B
""",
        "internvl3_5_gpt": """
OpenGVLab/InternVL3_5-GPT-OSS-20B-A4B-Preview
""",
    },
)
