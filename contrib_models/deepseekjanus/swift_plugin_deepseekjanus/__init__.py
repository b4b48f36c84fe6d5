"""Janus 1.3B: understands and generates pictures."""

from swift_core.models import Family, Modules

card = Family(
    name="deepseek_janus",
    summary="Janus 1.3B: understands and generates pictures.",
    modality=("text", "image"),
    modules=Modules(
        language_model=("language_model",),
        aligner=("aligner",),
        vision_tower=("vision_model",),
        generator=("gen_vision_model", "gen_aligner", "gen_head", "gen_embed"),
    ),
    remote_code="its code is the Janus repository, which must be on the path",
    native="JanusForConditionalGeneration",
    checkpoints={
        "deepseek_janus": """
deepseek-ai/Janus-1.3B
""",
    },
)
