"""MiniCPM 3 4B: latent attention."""

from swift_core import Family, Modules

card = Family(
    name="minicpm3",
    summary="MiniCPM 3 4B: latent attention.",
    architectures=("MiniCPM3ForCausalLM",),
    config_types=("minicpm3",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "chatml": """
OpenBMB/MiniCPM3-4B = openbmb/MiniCPM3-4B
""",
    },
)
