"""ModelScope-Agent: tool use on Qwen."""

from swift_core import Family, Modules

card = Family(
    name="modelscope_agent",
    summary="ModelScope-Agent: tool use on Qwen.",
    architectures=("QWenLMHeadModel",),
    named=("modelscope-agent",),
    modules=Modules(language_model=("transformer", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no QWenLMHeadModel",
    checkpoints={
        "modelscope_agent": """
iic/ModelScope-Agent-7B =
iic/ModelScope-Agent-14B =
""",
    },
)
