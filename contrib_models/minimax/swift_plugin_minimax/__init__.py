"""MiniMax-Text-01: lightning attention."""

from swift_core import Family, Modules

card = Family(
    name="minimax",
    summary="MiniMax-Text-01: lightning attention.",
    architectures=("MiniMaxText01ForCausalLM",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no MiniMaxText01ForCausalLM",
    native="MiniMaxForCausalLM",
    checkpoints={
        "minimax": """
MiniMax/MiniMax-Text-01 = MiniMaxAI/MiniMax-Text-01
""",
    },
)
