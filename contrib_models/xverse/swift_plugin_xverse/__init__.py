"""XVERSE 7B, 13B and 65B."""

from swift_core import Family, Modules

card = Family(
    name="xverse",
    summary="XVERSE 7B, 13B and 65B.",
    architectures=("XverseForCausalLM",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no XverseForCausalLM",
    checkpoints={
        "xverse": """
xverse/XVERSE-7B-Chat
xverse/XVERSE-7B
xverse/XVERSE-13B
xverse/XVERSE-13B-Chat
xverse/XVERSE-65B
xverse/XVERSE-65B-2
xverse/XVERSE-65B-Chat
xverse/XVERSE-13B-256K
""",
    },
)
