"""Step3-VL 10B."""

from swift_core import Family, Modules

card = Family(
    name="step3_vl",
    summary="Step3-VL 10B.",
    architectures=("StepVLForConditionalGeneration",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.vit_large_projector",),
        vision_tower=("model.vision_model",),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no StepVLForConditionalGeneration",
    checkpoints={
        "step3_vl": """
stepfun-ai/Step3-VL-10B-Base
stepfun-ai/Step3-VL-10B
""",
    },
)
