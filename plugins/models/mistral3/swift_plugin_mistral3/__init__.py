"""Mistral Small 3.1 and Ministral 3: pictures."""

from swift_core import Family, Modules

card = Family(
    name="mistral3",
    summary="Mistral Small 3.1 and Ministral 3: pictures.",
    architectures=("Mistral3ForConditionalGeneration",),
    config_types=("mistral3",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "mistral_2503": """
mistralai/Mistral-Small-3.1-24B-Base-2503
mistralai/Mistral-Small-3.1-24B-Instruct-2503
""",
        "mistral_2512": """
mistralai/Ministral-3-3B-Base-2512
mistralai/Ministral-3-3B-Instruct-2512
mistralai/Ministral-3-3B-Instruct-2512-BF16
mistralai/Ministral-3-8B-Base-2512
mistralai/Ministral-3-8B-Instruct-2512
mistralai/Ministral-3-8B-Instruct-2512-BF16
mistralai/Ministral-3-14B-Base-2512
mistralai/Ministral-3-14B-Instruct-2512
mistralai/Ministral-3-14B-Instruct-2512-BF16
""",
        "mistral_2512_thinking": """
mistralai/Ministral-3-3B-Reasoning-2512
mistralai/Ministral-3-8B-Reasoning-2512
mistralai/Ministral-3-14B-Reasoning-2512
""",
    },
)
