"""CodeFuse on Qwen 14B."""

from swift_core import Family, Modules

card = Family(
    name="codefuse_qwen",
    summary="CodeFuse on Qwen 14B.",
    architectures=("QWenLMHeadModel",),
    named=("codefuse",),
    modules=Modules(language_model=("transformer", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no QWenLMHeadModel",
    checkpoints={
        "codefuse": """
codefuse-ai/CodeFuse-QWen-14B
""",
    },
)
