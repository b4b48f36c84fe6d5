"""DeepSeek-V3.2: sparse attention with a lightning indexer."""

from swift_core import Family, Modules, Unsupported

card = Family(
    name="deepseek_v32",
    summary="DeepSeek-V3.2: sparse attention with a lightning indexer.",
    architectures=("DeepseekV32ForCausalLM",),
    config_types=("deepseek_v32",),
    modules=Modules(language_model=("model", "lm_head")),
    capabilities={"packing": Unsupported("its indexer picks among the tokens of all rows of a pack.")},
    checkpoints={
        "deepseek_v3_1": """
deepseek-ai/DeepSeek-V3.2
deepseek-ai/DeepSeek-V3.2-Speciale
deepseek-ai/DeepSeek-V3.2-Exp
deepseek-ai/DeepSeek-V3.2-Exp-Base
deepseek-ai/DeepSeek-Math-V2
""",
    },
)
