"""Xing 4.0 29B-A4B: latent attention and sparse experts."""

from swift_core import Family, Modules

card = Family(
    name="xing4_0",
    summary="Xing 4.0 29B-A4B: latent attention and sparse experts.",
    architectures=("Xing4_0ForCausalLM",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no Xing4_0ForCausalLM",
    checkpoints={
        "xing4_0": """
XingChen-AGI/Xing4.0-29B-A4B
""",
    },
)
