"""LLaVA-NeXT on Qwen 1.5 72B and 110B, original form."""

from swift_core import Family, Modules

card = Family(
    name="llava_next_qwen",
    summary="LLaVA-NeXT on Qwen 1.5 72B and 110B, original form.",
    architectures=("LlavaQwenForCausalLM",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.layers", "lm_head"),
        aligner=("model.mm_projector",),
        vision_tower=("model.vision_tower",),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no LlavaQwenForCausalLM",
    native="LlavaNextForConditionalGeneration",
    requires=("av",),
    checkpoints={
        "llava_next_qwen": """
AI-ModelScope/llava-next-72b = lmms-lab/llava-next-72b
AI-ModelScope/llava-next-110b = lmms-lab/llava-next-110b
""",
    },
)
