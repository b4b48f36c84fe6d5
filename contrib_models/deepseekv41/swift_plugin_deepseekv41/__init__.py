"""DeepSeek-V4.1 Flash, with pictures."""

from swift_core import Family, Modules

card = Family(
    name="deepseek_v41",
    summary="DeepSeek-V4.1 Flash, with pictures.",
    architectures=("DeepseekV41ForCausalLM",),
    modality=("text", "image"),
    modules=Modules(language_model=("model",), aligner=("aligner",), vision_tower=("vision",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no DeepseekV41ForCausalLM",
    checkpoints={
        "deepseek_v41": """
deepseek-ai/DeepSeek-V4.1-Flash
""",
    },
)
