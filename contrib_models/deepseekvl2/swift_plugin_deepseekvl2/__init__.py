"""DeepSeek-VL2: pictures in tiles on DeepSeekMoE."""

from swift_core import Family, Modules

card = Family(
    name="deepseek_vl2",
    bbox="deepseek_vl2",
    summary="DeepSeek-VL2: pictures in tiles on DeepSeekMoE.",
    modality=("text", "image"),
    modules=Modules(language_model=("language",), aligner=("projector",), vision_tower=("vision",)),
    remote_code="its code is the deepseek_vl2 repository, which must be on the path",
    requires=("transformers<4.42",),
    checkpoints={
        "deepseek_vl2": """
deepseek-ai/deepseek-vl2-tiny
deepseek-ai/deepseek-vl2-small
deepseek-ai/deepseek-vl2
""",
    },
)
