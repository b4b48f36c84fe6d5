"""LFM2-VL: pictures at native resolution for small machines (Liquid AI)."""

from swift_core import Family, Modules
from swift_core.templates import Template

card = Family(
    name="lfm2_vl",
    summary="LFM2-VL: pictures at native resolution for small machines (Liquid AI).",
    architectures=("Lfm2VlForConditionalGeneration",),
    config_types=("lfm2_vl",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "lfm2_vl": """
= LiquidAI/LFM2-VL-450M
= LiquidAI/LFM2-VL-1.6B
= LiquidAI/LFM2-VL-3B
""",
        "lfm2_5": """
= LiquidAI/LFM2.5-VL-1.6B
= LiquidAI/LFM2.5-VL-3B
""",
    },
)

template = Template(
    name="lfm2_vl",
    summary="Chat format of LFM2-VL (Liquid AI).",
    start="{bos}",
    system="{bos}<|im_start|>system\n{system}<|im_end|>\n",
    skip_empty_system=True,
    user="<|im_start|>user\n{query}<|im_end|>\n",
    assistant="<|im_start|>assistant\n",
    end="<|im_end|>",
    after="\n",
    agent="hermes",
    media={"image": "<image>"},
)
