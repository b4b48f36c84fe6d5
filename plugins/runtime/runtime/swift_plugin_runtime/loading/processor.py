"""The processor of a multimodal checkpoint: loaded, put together from its parts, and asked for its tokenizer."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any


def load_processor(path: str, trust: bool) -> Any:
    """The checkpoint's processor; without torchvision, one that reads images through Pillow and no video."""
    import transformers

    # not from transformers itself: 5.16 and 5.17 hide it there where torchvision is not installed
    from transformers.models.auto.image_processing_auto import AutoImageProcessor
    from transformers.utils import is_torchvision_available

    name = _processor_class(path)
    if is_torchvision_available() or name is None or not hasattr(transformers, name):
        return transformers.AutoProcessor.from_pretrained(path, trust_remote_code=trust)
    parts = {
        "tokenizer": transformers.AutoTokenizer,
        "image_processor": AutoImageProcessor,
        "feature_extractor": transformers.AutoFeatureExtractor,
    }
    owner = getattr(transformers, name)
    loaded = {k: auto.from_pretrained(path) for k, auto in parts.items() if k in owner.get_attributes()}
    unread = {"video_processor": said} if (said := _of_videos(path)) else {}
    return assemble(owner, unread, **_settings(owner, path), **loaded)


def _of_videos(path: str) -> dict[str, Any]:
    """The settings of the checkpoint's video processor, where transformers looks for them; {} where there are none."""
    from swift_core.job.lockfile import read_json

    nested: dict[str, Any] = read_json(Path(path, "processor_config.json")).get("video_processor") or {}
    files = (read_json(Path(path, f"{name}preprocessor_config.json")) for name in ("video_", ""))
    return nested or next(filter(None, files), {})


def _settings(owner: Any, path: str) -> dict[str, Any]:
    """The processor's own arguments as the checkpoint has them: its chat template, how many tokens an image takes."""
    written, _ = owner.get_processor_dict(path)
    known = inspect.signature(owner.__init__).parameters.keys() - set(owner.get_attributes())
    return {name: value for name, value in written.items() if name in known}


def assemble(processor_class: Any, unread: dict[str, Any] | None = None, **parts: Any) -> Any:
    """A processor of `processor_class` from its parts and arguments; a part that is left out (its video processor) is
    None.

    unread: settings of parts that cannot be made here, by name. They are saved with the others: where torchvision is
    installed, nothing opens a processor without them.
    """
    absent = dict.fromkeys(set(processor_class.get_attributes()) - set(parts))

    def check(self: Any, name: str, part: Any) -> Any:
        return None if part is None else processor_class.check_argument_for_proper_class(self, name, part)

    def save(self: Any, folder: Any, **arguments: Any) -> Any:
        self.get_attributes = lambda: [n for n in processor_class.get_attributes() if n not in absent]
        try:
            saved = processor_class.save_pretrained(self, folder, **arguments)
        finally:
            del self.get_attributes
        _write_beside(Path(folder, "processor_config.json"), unread or {})
        return saved

    methods = {"check_argument_for_proper_class": check, "save_pretrained": save, "__module__": __name__}
    partial = type(processor_class.__name__, (processor_class,), methods)
    return partial(**parts, **absent)


def _write_beside(file: Path, settings: dict[str, Any]) -> None:
    """Add settings of parts to a processor's file."""
    if settings:
        written = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps(written | settings, indent=2) + "\n", encoding="utf-8")


def _processor_class(path: str) -> str | None:
    from swift_core.job.lockfile import read_json

    for file in ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
        name = read_json(Path(path, file)).get("processor_class")
        if name:
            return str(name)
    return None


def is_processor(processor: Any) -> bool:
    """Whether it is a multimodal processor, which holds its tokenizer, and not a tokenizer itself."""
    return hasattr(processor, "tokenizer")


def tokenizer_of(processor: Any) -> Any:
    """The tokenizer, whether it stands alone or inside a processor."""
    return getattr(processor, "tokenizer", processor)


def pad_id_of(processor: Any) -> int:
    """The id that rows are padded with."""
    tokenizer = tokenizer_of(processor)
    return int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0)
