"""MiniCPM 2B 128k and MiniCPM 4."""

from swift_core import Family, Modules

card = Family(
    name="minicpm_chatml",
    summary="MiniCPM 2B 128k and MiniCPM 4.",
    architectures=("MiniCPMForCausalLM",),
    tells={"vocab_size": 73448},
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no MiniCPMForCausalLM",
    checkpoints={
        "chatml": """
OpenBMB/MiniCPM-2B-128k = openbmb/MiniCPM-2B-128k
OpenBMB/MiniCPM4-0.5B = openbmb/MiniCPM4-0.5B
OpenBMB/MiniCPM4-8B = openbmb/MiniCPM4-8B
""",
    },
)
