"""DocOwl 2: documents of many pages in few tokens."""

from swift_core import Family, Modules

card = Family(
    name="doc_owl2",
    summary="DocOwl 2: documents of many pages in few tokens.",
    architectures=("mPLUGDocOwl2",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.layers",),
        aligner=("model.vision2text", "model.hr_compressor"),
        vision_tower=("model.vision_model",),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no mPLUGDocOwl2",
    requires=("icecream",),
    checkpoints={
        "doc_owl2": """
iic/DocOwl2 = mPLUG/DocOwl2
""",
    },
)
