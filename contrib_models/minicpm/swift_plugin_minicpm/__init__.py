"""MiniCPM 1B and 2B."""

from swift_core import Family, Modules

card = Family(
    name="minicpm",
    summary="MiniCPM 1B and 2B.",
    architectures=("MiniCPMForCausalLM",),
    tells={"vocab_size": (73440, 122753)},
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no MiniCPMForCausalLM",
    checkpoints={
        "minicpm": """
OpenBMB/MiniCPM-2B-sft-fp32 = openbmb/MiniCPM-2B-sft-fp32
OpenBMB/MiniCPM-2B-dpo-fp32 = openbmb/MiniCPM-2B-dpo-fp32
OpenBMB/MiniCPM-1B-sft-bf16 = openbmb/MiniCPM-1B-sft-bf16
""",
    },
)
