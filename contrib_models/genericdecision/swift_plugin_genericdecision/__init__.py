"""Any language model as a scorer that decides among options."""

from swift_core import Family, Modules, Unsupported

card = Family(
    name="generic_decision",
    summary="Any language model as a scorer that decides among options.",
    task="decision",
    modules=Modules(language_model=("model", "lm_head")),
    capabilities={
        "trainer": Unsupported(
            "its scoring head decides among options with a loss of its own, which no installed trainer has"
        )
    },
    checkpoints={
        "generic_decision": "",
    },
)
