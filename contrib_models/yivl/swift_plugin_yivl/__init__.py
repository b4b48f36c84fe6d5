"""Yi-VL 6B and 34B."""

from swift_core import Family, Modules

card = Family(
    name="yi_vl",
    summary="Yi-VL 6B and 34B.",
    architectures=("LlavaLlamaForCausalLM",),
    tells={"mm_projector_type": "mlp2x_gelu_Norm"},
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.layers",), aligner=("model.mm_projector",), vision_tower=("model.vision_tower",)
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no LlavaLlamaForCausalLM",
    checkpoints={
        "yi_vl": """
01ai/Yi-VL-6B = 01-ai/Yi-VL-6B
01ai/Yi-VL-34B = 01-ai/Yi-VL-34B
""",
    },
)
