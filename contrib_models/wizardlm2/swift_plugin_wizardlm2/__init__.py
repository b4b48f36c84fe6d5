"""WizardLM-2 7B."""

from swift_core import Family, Modules

card = Family(
    name="wizardlm2",
    summary="WizardLM-2 7B.",
    architectures=("MistralForCausalLM",),
    config_types=("mistral",),
    named=("wizardlm",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "wizardlm2": """
AI-ModelScope/WizardLM-2-7B-AWQ = MaziyarPanahi/WizardLM-2-7B-AWQ
""",
    },
)
