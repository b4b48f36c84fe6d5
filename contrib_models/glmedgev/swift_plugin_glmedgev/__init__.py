"""GLM-Edge-V: pictures on phones and cars."""

from swift_core import Family, Modules

card = Family(
    name="glm_edge_v",
    summary="GLM-Edge-V: pictures on phones and cars.",
    architectures=("GlmForCausalLM",),
    config_types=("glm",),
    tells={"vision_config": True},
    modality=("text", "image"),
    modules=Modules(language_model=("model.layers", "lm_head"), vision_tower=("model.vision",)),
    remote_code="its vision tower lies in the checkpoint; transformers' class of that name reads text alone",
    checkpoints={
        "glm_edge_v": """
ZhipuAI/glm-edge-v-2b = zai-org/glm-edge-v-2b
ZhipuAI/glm-edge-v-5b = zai-org/glm-edge-v-5b
""",
    },
)
