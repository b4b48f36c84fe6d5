"""DiffusionGemma: writes blocks of text by diffusion."""

from swift_core import Family, Modules, Unsupported

card = Family(
    name="diffusion_gemma",
    summary="DiffusionGemma: writes blocks of text by diffusion.",
    architectures=("DiffusionGemmaForBlockDiffusion",),
    config_types=("diffusion_gemma",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.encoder.language_model", "model.decoder", "lm_head"),
        aligner=("model.encoder.embed_vision",),
        vision_tower=("model.encoder.vision_tower",),
    ),
    capabilities={
        "trainer": Unsupported("it denoises whole blocks of text, and a next-token loss would train it wrongly")
    },
    checkpoints={
        "diffusion_gemma": """
google/diffusiongemma-26B-A4B-it
""",
    },
)
