"""Nemotron-H: Mamba 2 layers with few of attention."""

from swift_core import Family, Modules

card = Family(
    name="nemotron_h",
    summary="Nemotron-H: Mamba 2 layers with few of attention.",
    architectures=("NemotronHForCausalLM",),
    config_types=("nemotron_h",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "nemotron_h": """
nv-community/NVIDIA-Nemotron-3.5-Lightning-30B-A3B-BF16 = nvidia/NVIDIA-Nemotron-3.5-Lightning-30B-A3B-BF16
nv-community/NVIDIA-Nemotron-3.5-Lightning-30B-A3B-NVFP4 = nvidia/NVIDIA-Nemotron-3.5-Lightning-30B-A3B-NVFP4
""",
    },
)
