"""A family's card: facts about one `model_type`, without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from swift_core.capability import Capability


@dataclass(frozen=True)
class Checkpoint:
    """One published checkpoint: its id on ModelScope and on Hugging Face (either may be empty)."""

    modelscope: str
    huggingface: str
    template: str


@dataclass(frozen=True)
class Modules:
    """Where the parts of the model sit, as dotted module prefixes, so that each can be tuned by itself."""

    language_model: tuple[str, ...] = ()
    aligner: tuple[str, ...] = ()
    vision_tower: tuple[str, ...] = ()
    audio_tower: tuple[str, ...] = ()
    generator: tuple[str, ...] = ()

    def towers(self) -> tuple[str, ...]:
        """Everything that is not the language model."""
        return self.aligner + self.vision_tower + self.audio_tower + self.generator


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """The facts about a family; subclass it to implement a model's hooks where it differs.

    name: the model type. summary: one line. checkpoints: template name → lines of `modelscope-id` or
    `modelscope-id = huggingface-id` (one id: the same on both). architectures: class names in config.json.
    config_types: `model_type` values in config.json. modality: what it reads, of text, image, video, audio.
    task: causal_lm, seq_cls, embedding or reranker. bbox: the component that writes its boxes.
    modules: the module map. requires: pip requirements beyond the runtime's. remote_code: whether its code
    lives in the checkpoint. native: the transformers class that loads converted checkpoints, if another.
    extra_files: files of the checkpoint to copy beside saved weights. patchers: components that every job
    with this family uses. capabilities: feature → Supported, Unsupported(reason), Experimental(note).
    """

    swift_api: ClassVar[int] = 1

    name: str
    summary: str = ""
    checkpoints: dict[str, str] = field(default_factory=dict)
    architectures: tuple[str, ...] = ()
    config_types: tuple[str, ...] = ()
    modality: tuple[str, ...] = ("text",)
    task: str = "causal_lm"
    bbox: str = "norm_1000"
    modules: Modules = Modules(language_model=("model",))
    requires: tuple[str, ...] = ()
    remote_code: bool = False
    native: str = ""
    extra_files: tuple[str, ...] = ()
    patchers: tuple[str, ...] = ()
    capabilities: dict[str, Capability] = field(default_factory=dict)

    @property
    def template(self) -> str:
        """The template of a checkpoint that the card does not list: the first one."""
        return next(iter(self.checkpoints), "chatml")

    def listed(self) -> list[Checkpoint]:
        """Every checkpoint, in the card's order."""
        return [
            _checkpoint(line, t) for t, text in self.checkpoints.items() for line in text.split("\n") if line.strip()
        ]


def _checkpoint(line: str, template: str) -> Checkpoint:
    modelscope, equals, huggingface = (part.strip() for part in line.partition("="))
    return Checkpoint(modelscope, huggingface if equals else modelscope, template)
