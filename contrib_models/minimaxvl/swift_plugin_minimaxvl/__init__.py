"""MiniMax-VL-01: pictures on MiniMax-Text-01."""

from swift_core import Family, Modules

card = Family(
    name="minimax_vl",
    summary="MiniMax-VL-01: pictures on MiniMax-Text-01.",
    architectures=("MiniMaxVL01ForConditionalGeneration",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("language_model",), aligner=("multi_modal_projector",), vision_tower=("vision_tower",)
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no MiniMaxVL01ForConditionalGeneration",
    checkpoints={
        "minimax_vl": """
MiniMax/MiniMax-VL-01 = MiniMaxAI/MiniMax-VL-01
""",
    },
)
