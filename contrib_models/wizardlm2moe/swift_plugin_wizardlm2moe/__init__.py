"""WizardLM-2 8x22B."""

from swift_core import Family, Modules

card = Family(
    name="wizardlm2_moe",
    summary="WizardLM-2 8x22B.",
    architectures=("MixtralForCausalLM",),
    config_types=("mixtral",),
    named=("wizardlm",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "wizardlm2_moe": """
AI-ModelScope/WizardLM-2-8x22B = alpindale/WizardLM-2-8x22B
""",
    },
)
