"""A family's card: facts about one `model_type`, without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from swift_core.contract.capability import Capability


@dataclass(frozen=True)
class Checkpoint:
    """One published checkpoint: its id on ModelScope and on Hugging Face (either may be empty)."""

    modelscope: str
    huggingface: str
    template: str

    def id_on(self, use_hf: bool) -> str:
        """Its id on the hub in use; the other hub's where this one does not have it."""
        return (self.huggingface or self.modelscope) if use_hf else (self.modelscope or self.huggingface)


@dataclass(frozen=True)
class Modules:
    """Where the parts of the model sit, as dotted module prefixes, so that each can be tuned by itself.

    A part that only some checkpoints of the family have may be named too.
    """

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
    `modelscope-id = huggingface-id` (one id: the same on both; `owner/name:folder` is a folder of a
    repository). modality: what it reads, of text, image, video, audio. task: causal_lm, seq_cls, embedding,
    reranker (a scoring head), generative_reranker (yes or no), reward, prm (a score per step), decision.
    bbox: the component that writes its boxes. modules: the module map.

    How a folder is recognised. architectures: class names in config.json. config_types: its `model_type`.
    tells: fields of config.json, by dotted path, that must hold: a value, several of which one holds, or True
    for "is there". named: words of which the folder's name must hold one, for families that differ from their
    base model in nothing else.

    How it is loaded. remote_code: why its code comes with the checkpoint; empty where transformers has it.
    native: the transformers class that runs it under another name or, with remote_code, runs converted
    checkpoints. requires: pip requirements beyond the runtime's. patchers: components that every job with
    this family uses. skip_files: patterns of files on the hub that nobody needs. extra_files: files of the
    checkpoint to copy beside saved weights. capabilities: feature → Supported, Unsupported(reason),
    Experimental(note).
    """

    swift_api: ClassVar[int] = 1

    name: str
    summary: str = ""
    checkpoints: dict[str, str] = field(default_factory=dict)
    modality: tuple[str, ...] = ("text",)
    task: str = "causal_lm"
    bbox: str = "norm_1000"
    modules: Modules = Modules(language_model=("model",))
    architectures: tuple[str, ...] = ()
    config_types: tuple[str, ...] = ()
    tells: dict[str, Any] = field(default_factory=dict)
    named: tuple[str, ...] = ()
    remote_code: str = ""
    native: str = ""
    requires: tuple[str, ...] = ()
    patchers: tuple[str, ...] = ()
    skip_files: tuple[str, ...] = ()
    extra_files: tuple[str, ...] = ()
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

    def find(self, model: str) -> Checkpoint | None:
        """The listed checkpoint with this id on either hub, in any case."""
        wanted = model.lower()
        if not any(wanted in text.lower() for text in self.checkpoints.values()):
            return None  # nearly always, and far cheaper than taking every line apart
        return next((p for p in self.listed() if wanted in (p.modelscope.lower(), p.huggingface.lower())), None)


def _checkpoint(line: str, template: str) -> Checkpoint:
    modelscope, equals, huggingface = (part.strip() for part in line.partition("="))
    return Checkpoint(modelscope, huggingface if equals else modelscope, template)
