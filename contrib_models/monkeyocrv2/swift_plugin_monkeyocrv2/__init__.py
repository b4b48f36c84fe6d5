"""MonkeyOCR v2: a vision encoder for documents."""

from swift_core import Family, Modules, Unsupported

card = Family(
    name="monkeyocrv2",
    summary="MonkeyOCR v2: a vision encoder for documents.",
    architectures=("MonkeyOCRv2VisionTransformer",),
    modality=("text", "image"),
    task="embedding",
    bbox="real",
    modules=Modules(vision_tower=("head",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no MonkeyOCRv2VisionTransformer",
    requires=("qwen_vl_utils",),
    capabilities={"trainer": Unsupported("it encodes pictures and writes no text")},
    checkpoints={
        "monkeyocrv2": """
zenosai/MonkeyOCRv2-S
zenosai/MonkeyOCRv2-B
""",
    },
)
