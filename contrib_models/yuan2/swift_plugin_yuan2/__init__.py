"""Yuan 2: localized filtering before attention."""

from swift_core import Family, Modules

card = Family(
    name="yuan2",
    summary="Yuan 2: localized filtering before attention.",
    architectures=("YuanForCausalLM",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no YuanForCausalLM",
    checkpoints={
        "yuan": """
IEITYuan/Yuan2.0-2B-hf = IEITYuan/Yuan2-2B-hf
IEITYuan/Yuan2.0-51B-hf = IEITYuan/Yuan2-51B-hf
IEITYuan/Yuan2.0-102B-hf = IEITYuan/Yuan2-102B-hf
IEITYuan/Yuan2-2B-Janus-hf
IEITYuan/Yuan2-M32-hf
""",
    },
)
