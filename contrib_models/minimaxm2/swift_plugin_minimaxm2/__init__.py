"""MiniMax M2 to M2.7: coding and agents."""

from swift_core import Family, Modules

card = Family(
    name="minimax_m2",
    summary="MiniMax M2 to M2.7: coding and agents.",
    architectures=("MiniMaxM2ForCausalLM",),
    config_types=("minimax_m2",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "minimax_m2": """
MiniMax/MiniMax-M2 = MiniMaxAI/MiniMax-M2
""",
        "minimax_m2_1": """
MiniMax/MiniMax-M2.1 = MiniMaxAI/MiniMax-M2.1
""",
        "minimax_m2_5": """
MiniMax/MiniMax-M2.5 = MiniMaxAI/MiniMax-M2.5
""",
        "minimax_m2_7": """
MiniMax/MiniMax-M2.7 = MiniMaxAI/MiniMax-M2.7
""",
    },
)
