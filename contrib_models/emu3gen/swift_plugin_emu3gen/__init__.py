"""Emu3-Gen: text to pictures by next-token prediction."""

from swift_core import Family, Modules, Unsupported

card = Family(
    name="emu3_gen",
    summary="Emu3-Gen: text to pictures by next-token prediction.",
    architectures=("Emu3ForCausalLM",),
    config_types=("emu3",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its picture tokenizer lies in the checkpoint; transformers' class of that name reads text alone",
    native="Emu3ForConditionalGeneration",
    capabilities={"trainer": Unsupported("it is trained to say picture codes, which no installed trainer does")},
    checkpoints={
        "emu3_gen": """
BAAI/Emu3-Gen
""",
    },
)
