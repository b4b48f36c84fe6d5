"""Falcon-H1: attention and Mamba 2 side by side (TII)."""

from swift_core import Family, Modules

card = Family(
    name="falcon_h1",
    summary="Falcon-H1: attention and Mamba 2 side by side (TII).",
    architectures=("FalconH1ForCausalLM",),
    config_types=("falcon_h1",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "chatml": """
= tiiuae/Falcon-H1-0.5B-Instruct
= tiiuae/Falcon-H1-1.5B-Instruct
= tiiuae/Falcon-H1-1.5B-Deep-Instruct
= tiiuae/Falcon-H1-3B-Instruct
= tiiuae/Falcon-H1-7B-Instruct
= tiiuae/Falcon-H1-34B-Instruct
""",
    },
)
