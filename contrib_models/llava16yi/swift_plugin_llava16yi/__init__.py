"""LLaVA 1.6 on Yi 34B, original form."""

from swift_core import Family, Modules

card = Family(
    name="llava1_6_yi",
    summary="LLaVA 1.6 on Yi 34B, original form.",
    architectures=("LlavaLlamaForCausalLM",),
    tells={"mm_projector_type": "mlp2x_gelu", "vocab_size": 64000},
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.layers", "lm_head"),
        aligner=("model.mm_projector",),
        vision_tower=("model.vision_tower",),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no LlavaLlamaForCausalLM",
    native="LlavaNextForConditionalGeneration",
    checkpoints={
        "llava1_6_yi": """
AI-ModelScope/llava-v1.6-34b = liuhaotian/llava-v1.6-34b
""",
    },
)
