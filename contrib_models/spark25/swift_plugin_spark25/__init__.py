"""Spark X2.5, 1.7B and 4B."""

from swift_core import Family, Modules

card = Family(
    name="spark2_5",
    summary="Spark X2.5, 1.7B and 4B.",
    architectures=("Spark2_5ForCausalLM",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no Spark2_5ForCausalLM",
    checkpoints={
        "spark2_5": """
XHToken/Spark-X2.5-1.7B-Base =
XHToken/Spark-X2.5-1.7B =
XHToken/Spark-X2.5-4B-Base =
XHToken/Spark-X2.5-4B =
""",
    },
)
