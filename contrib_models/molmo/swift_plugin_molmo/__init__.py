"""Molmo 7B and 72B: points at what it sees."""

from swift_core import Family, Modules

card = Family(
    name="molmo",
    summary="Molmo 7B and 72B: points at what it sees.",
    architectures=("MolmoForCausalLM",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.transformer",),
        aligner=("model.vision_backbone.image_projector",),
        vision_tower=("model.vision_backbone",),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no MolmoForCausalLM",
    checkpoints={
        "molmo": """
LLM-Research/Molmo-7B-O-0924 = allenai/Molmo-7B-O-0924
LLM-Research/Molmo-7B-D-0924 = allenai/Molmo-7B-D-0924
LLM-Research/Molmo-72B-0924 = allenai/Molmo-72B-0924
""",
    },
)
