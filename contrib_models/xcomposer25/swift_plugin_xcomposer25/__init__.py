"""InternLM-XComposer 2.5: long text, videos and many pictures."""

from swift_core import Family, Modules

card = Family(
    name="xcomposer2_5",
    summary="InternLM-XComposer 2.5: long text, videos and many pictures.",
    architectures=("InternLMXComposer2ForCausalLM",),
    named=("xcomposer2d5",),
    modality=("text", "image"),
    modules=Modules(language_model=("model",), aligner=("vision_proj",), vision_tower=("vit",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no InternLMXComposer2ForCausalLM",
    requires=("decord",),
    checkpoints={
        "xcomposer2_5": """
Shanghai_AI_Laboratory/internlm-xcomposer2d5-7b = internlm/internlm-xcomposer2d5-7b
Shanghai_AI_Laboratory/internlm-xcomposer2d5-ol-7b:base = internlm/internlm-xcomposer2d5-ol-7b:base
""",
    },
)
