"""Intern-S1: pictures and science."""

from swift_core import Family, Modules

card = Family(
    name="interns1",
    bbox="internvl",
    summary="Intern-S1: pictures and science.",
    architectures=("InternS1ForConditionalGeneration",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no InternS1ForConditionalGeneration",
    requires=("transformers<4.56",),
    checkpoints={
        "interns1": """
Shanghai_AI_Laboratory/Intern-S1-mini = internlm/Intern-S1-mini
Shanghai_AI_Laboratory/Intern-S1 = internlm/Intern-S1
Shanghai_AI_Laboratory/Intern-S1-mini-FP8 = internlm/Intern-S1-mini-FP8
Shanghai_AI_Laboratory/Intern-S1-FP8 = internlm/Intern-S1-FP8
""",
    },
)
