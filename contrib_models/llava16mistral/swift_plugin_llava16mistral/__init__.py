"""LLaVA 1.6 on Mistral 7B, original form."""

from swift_core import Family, Modules

card = Family(
    name="llava1_6_mistral",
    summary="LLaVA 1.6 on Mistral 7B, original form.",
    architectures=("LlavaMistralForCausalLM",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.layers",), aligner=("model.mm_projector",), vision_tower=("model.vision_tower",)
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no LlavaMistralForCausalLM",
    native="LlavaNextForConditionalGeneration",
    checkpoints={
        "llava1_6_mistral": """
AI-ModelScope/llava-v1.6-mistral-7b = liuhaotian/llava-v1.6-mistral-7b
""",
    },
)
