"""MOSS-VL: pictures and videos through cross-attention."""

from swift_core import Family, Modules

card = Family(
    name="moss_vl",
    summary="MOSS-VL: pictures and videos through cross-attention.",
    architectures=("MossVLForConditionalGeneration",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.visual.merger", "model.separator_token"),
        vision_tower=("model.visual",),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no MossVLForConditionalGeneration",
    requires=("joblib", "torchcodec", "transformers<5"),
    checkpoints={
        "moss_vl": """
openmoss/MOSS-VL-Instruct-0708 = OpenMOSS-Team/MOSS-VL-Instruct-0708
openmoss/MOSS-VL-Base-0708 = OpenMOSS-Team/MOSS-VL-Base-0708
""",
    },
)
