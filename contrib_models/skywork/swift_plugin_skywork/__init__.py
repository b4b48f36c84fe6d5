"""Skywork 13B."""

from swift_core import Family, Modules

card = Family(
    name="skywork",
    summary="Skywork 13B.",
    architectures=("SkyworkForCausalLM",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no SkyworkForCausalLM",
    checkpoints={
        "skywork": """
skywork/Skywork-13B-base
skywork/Skywork-13B-chat =
""",
    },
)
