"""Seed-OSS 36B: thinks within a budget."""

from swift_core import Family, Modules

card = Family(
    name="seed_oss",
    summary="Seed-OSS 36B: thinks within a budget.",
    architectures=("SeedOssForCausalLM",),
    config_types=("seed_oss",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "seed_oss": """
ByteDance-Seed/Seed-OSS-36B-Instruct
ByteDance-Seed/Seed-OSS-36B-Base
ByteDance-Seed/Seed-OSS-36B-Base-woSyn
""",
    },
)
