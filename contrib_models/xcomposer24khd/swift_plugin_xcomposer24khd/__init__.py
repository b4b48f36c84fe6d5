"""InternLM-XComposer 2 at 4K resolution."""

from swift_core import Family, Modules

card = Family(
    name="xcomposer2_4khd",
    summary="InternLM-XComposer 2 at 4K resolution.",
    architectures=("InternLM2ForCausalLM", "InternLMXComposer2ForCausalLM"),
    named=("4khd",),
    modality=("text", "image"),
    modules=Modules(language_model=("model",), aligner=("vision_proj",), vision_tower=("vit",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no InternLM2ForCausalLM",
    checkpoints={
        "ixcomposer2": """
Shanghai_AI_Laboratory/internlm-xcomposer2-4khd-7b = internlm/internlm-xcomposer2-4khd-7b
""",
    },
)
