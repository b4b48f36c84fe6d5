"""InternLM 3 8B."""

from swift_core import Family, Modules

card = Family(
    name="internlm3",
    summary="InternLM 3 8B.",
    architectures=("InternLM3ForCausalLM",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no InternLM3ForCausalLM",
    checkpoints={
        "internlm2": """
Shanghai_AI_Laboratory/internlm3-8b-instruct = internlm/internlm3-8b-instruct
""",
    },
)
