"""Qwen3-TTS: text to speech with cloned voices."""

from swift_core import Family, Modules, Unsupported

card = Family(
    name="qwen3_tts",
    summary="Qwen3-TTS: text to speech with cloned voices.",
    architectures=("Qwen3TTSForConditionalGeneration",),
    modality=("text", "audio"),
    modules=Modules(language_model=("talker",), generator=("speaker_encoder",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no Qwen3TTSForConditionalGeneration",
    requires=("qwen-tts", "transformers<5"),
    capabilities={"trainer": Unsupported("it is trained to say speech codes, which no installed trainer does")},
    checkpoints={
        "qwen3_tts": """
Qwen/Qwen3-TTS-12Hz-1.7B-Base
Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice
Qwen/Qwen3-TTS-12Hz-0.6B-Base
Qwen/Qwen3-TTS-12Hz-0.6B-CustomVoice
""",
    },
)
