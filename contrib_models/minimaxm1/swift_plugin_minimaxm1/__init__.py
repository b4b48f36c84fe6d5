"""MiniMax-M1: reasoning with lightning attention."""

from swift_core import Family, Modules

card = Family(
    name="minimax_m1",
    summary="MiniMax-M1: reasoning with lightning attention.",
    architectures=("MiniMaxM1ForCausalLM",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no MiniMaxM1ForCausalLM",
    native="MiniMaxForCausalLM",
    checkpoints={
        "minimax_m1": """
MiniMax/MiniMax-M1-40k = MiniMaxAI/MiniMax-M1-40k
MiniMax/MiniMax-M1-80k = MiniMaxAI/MiniMax-M1-80k
""",
    },
)
