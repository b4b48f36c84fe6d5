"""MolmoE 1B: Molmo on OLMoE."""

from swift_core import Family, Modules

card = Family(
    name="molmoe",
    summary="MolmoE 1B: Molmo on OLMoE.",
    architectures=("OLMoForCausalLM",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.transformer",),
        aligner=("model.vision_backbone.image_projector",),
        vision_tower=("model.vision_backbone",),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no OLMoForCausalLM",
    checkpoints={
        "molmo": """
LLM-Research/MolmoE-1B-0924 = allenai/MolmoE-1B-0924
""",
    },
)
