"""InternLM-XComposer 2: free-form text and pictures."""

from swift_core import Family, Modules

card = Family(
    name="xcomposer2",
    summary="InternLM-XComposer 2: free-form text and pictures.",
    architectures=("InternLMXComposer2ForCausalLM",),
    modality=("text", "image"),
    modules=Modules(language_model=("model",), aligner=("vision_proj",), vision_tower=("vit",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no InternLMXComposer2ForCausalLM",
    checkpoints={
        "ixcomposer2": """
Shanghai_AI_Laboratory/internlm-xcomposer2-7b = internlm/internlm-xcomposer2-7b
""",
    },
)
