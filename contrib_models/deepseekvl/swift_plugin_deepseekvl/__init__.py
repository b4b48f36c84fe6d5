"""DeepSeek-VL: pictures on DeepSeek 1.3B and 7B."""

from swift_core.models import Family, Modules

card = Family(
    name="deepseek_vl",
    summary="DeepSeek-VL: pictures on DeepSeek 1.3B and 7B.",
    architectures=("MultiModalityCausalLM",),
    modality=("text", "image"),
    modules=Modules(language_model=("language_model",), aligner=("aligner",), vision_tower=("vision_model",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no MultiModalityCausalLM",
    native="DeepseekVLForConditionalGeneration",
    checkpoints={
        "deepseek_vl": """
deepseek-ai/deepseek-vl-1.3b-chat
deepseek-ai/deepseek-vl-7b-chat
""",
    },
)
