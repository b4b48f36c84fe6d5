"""MiniMax M3: pictures and videos."""

from swift_core import Family, Modules

card = Family(
    name="minimax_m3_vl",
    summary="MiniMax M3: pictures and videos.",
    architectures=("MiniMaxM3SparseForConditionalGeneration",),
    config_types=("minimax_m3_vl",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "minimax_m3_vl": """
MiniMax/MiniMax-M3 = MiniMaxAI/MiniMax-M3
""",
    },
)
