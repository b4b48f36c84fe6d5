"""IQuest-Coder V1 40B."""

from swift_core import Family, Modules

card = Family(
    name="iquestcoder",
    summary="IQuest-Coder V1 40B.",
    architectures=("IQuestCoderForCausalLM",),
    modules=Modules(language_model=("model", "lm_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no IQuestCoderForCausalLM",
    requires=("transformers==4.52.4",),
    checkpoints={
        "iquestcoder": """
IQuestLab/IQuest-Coder-V1-40B-Base-Stage1
IQuestLab/IQuest-Coder-V1-40B-Base
IQuestLab/IQuest-Coder-V1-40B-Instruct
""",
    },
)
