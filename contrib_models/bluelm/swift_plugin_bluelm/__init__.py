"""BlueLM 7B, base and chat, up to 32k tokens."""

from swift_core import Family, Modules

card = Family(
    name="bluelm",
    summary="BlueLM 7B, base and chat, up to 32k tokens.",
    architectures=("BlueLMForCausalLM",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no BlueLMForCausalLM",
    checkpoints={
        "bluelm": """
vivo-ai/BlueLM-7B-Chat-32K
vivo-ai/BlueLM-7B-Chat
vivo-ai/BlueLM-7B-Base-32K
vivo-ai/BlueLM-7B-Base
""",
    },
)
