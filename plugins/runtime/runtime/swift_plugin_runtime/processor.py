"""Rows with media through the family's own transformers processor, in one call for the whole conversation.

A private marker token is put at every border between what is trained and what is not; the processor
expands the media placeholders as it always does; then the markers are dropped from every tensor that runs
along the tokens, and labels fall out by construction.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from swift_core import SwiftError
from swift_core.data.media import open_media
from swift_core.data.row import Row
from swift_core.templates.encode import encode_spans, labelled
from swift_core.templates.render import Span, spans_of

MARKER = "<|swift_border|>"

MEDIA_KEYS = {
    "image": ("pixel_values", "image_pixel_values", "pixel_values_images", "image_patches", "flattened_patches"),
    "video": ("pixel_values_videos", "video_pixel_values", "pixel_values"),
    "audio": ("input_features", "input_values", "audio_values", "audio_features", "audio_input_features"),
}
"""Modality → tensors of which at least one must come back when the row has such media."""


def load_processor(path: str, trust: bool) -> Any:
    """The checkpoint's processor; without torchvision, one that reads images through Pillow and no video."""
    import transformers
    from transformers.utils import is_torchvision_available

    name = _processor_class(path)
    if is_torchvision_available() or name is None or not hasattr(transformers, name):
        return transformers.AutoProcessor.from_pretrained(path, trust_remote_code=trust)
    parts = {
        "tokenizer": transformers.AutoTokenizer,
        "image_processor": transformers.AutoImageProcessor,
        "feature_extractor": transformers.AutoFeatureExtractor,
    }
    wanted = getattr(transformers, name).get_attributes()
    loaded = {k: auto.from_pretrained(path) for k, auto in parts.items() if k in wanted}
    return assemble(getattr(transformers, name), **loaded)


def assemble(processor_class: Any, **parts: Any) -> Any:
    """A processor of `processor_class` from its parts; a part that is left out (its video processor) is None."""
    absent = dict.fromkeys(set(processor_class.get_attributes()) - set(parts))

    def check(self: Any, name: str, part: Any) -> Any:
        return None if part is None else processor_class.check_argument_for_proper_class(self, name, part)

    def save(self: Any, folder: Any, **arguments: Any) -> Any:
        self.get_attributes = lambda: [n for n in processor_class.get_attributes() if n not in absent]
        try:
            return processor_class.save_pretrained(self, folder, **arguments)
        finally:
            del self.get_attributes

    methods = {"check_argument_for_proper_class": check, "save_pretrained": save, "__module__": __name__}
    partial = type(processor_class.__name__, (processor_class,), methods)
    return partial(**parts, **absent)


def _processor_class(path: str) -> str | None:
    from swift_core.models.index import read_json

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


def encode_with_processor(job: Any, rows: list[Row], processor: Any, generation: bool) -> list[dict[str, Any]]:
    """`encode` for a multimodal family; text-only rows go to its tokenizer alone."""
    return [_encode(job, row, processor, generation) for row in rows]


def _encode(job: Any, row: Row, processor: Any, generation: bool) -> dict[str, Any]:
    media = open_media(row, job.options.max_pixels)
    spans = spans_of(job, row, tokenizer_of(processor), generation)
    if not media:
        encoded = encode_spans(tokenizer_of(processor), [spans])[0]
    else:
        encoded = _marked(row, spans, media, processor)
    if generation:
        encoded.pop("labels")
        encoded.pop("loss_scale", None)
    return encoded


def _marked(row: Row, spans: list[Span], media: dict[str, list[Any]], processor: Any) -> dict[str, Any]:
    marking, marker = _with_marker(processor)
    output = _call(marking, MARKER.join(s.text for s in spans), media, row.where)
    _check_media(output, media, row.where)
    ids = output["input_ids"][0].tolist()
    keep = [i for i, token in enumerate(ids) if token != marker]
    weights = _spread(ids, marker, [s.weight for s in spans], row.where)
    encoded = labelled([ids[i] for i in keep], weights)
    for name, value in output.items():
        if name not in ("input_ids", "attention_mask", "labels"):
            encoded[name] = _drop(value, keep, len(ids))
    return encoded


def _with_marker(processor: Any) -> tuple[Any, int]:
    """A copy of the processor that knows the marker; made once and kept on the processor."""
    found = getattr(processor, "_swift_marking", None)
    if found is None:
        marking = copy.deepcopy(processor)
        tokenizer_of(marking).add_special_tokens(
            {"additional_special_tokens": [MARKER]}, replace_extra_special_tokens=False
        )
        found = marking, tokenizer_of(marking).convert_tokens_to_ids(MARKER)
        processor._swift_marking = found
    return found


def _call(processor: Any, text: str, media: dict[str, list[Any]], where: str) -> dict[str, Any]:
    names = {"image": "images", "video": "videos", "audio": "audio"}
    arguments = {names[k]: v for k, v in media.items()}
    try:
        output = processor(text=[text], return_tensors="pt", add_special_tokens=False, **arguments)
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        raise SwiftError(f"{where}: the processor refuses the row: {error}") from error
    return dict(output)


def _check_media(output: dict[str, Any], media: dict[str, list[Any]], where: str) -> None:
    """Some processors accept a modality and silently ignore it: that must be an error."""
    for name in media:
        if not any(key in output for key in MEDIA_KEYS[name]):
            raise SwiftError(f"{where}: the processor took the {name} but returned nothing for it.")


def _spread(ids: list[int], marker: int, weights: list[float], where: str) -> list[float]:
    """The weight of each token that is not a marker; each marker moves on to the next span."""
    if ids.count(marker) != len(weights) - 1:
        raise SwiftError(f"{where}: the processor moved or dropped text between the turns.")
    out, current = [], 0
    for token in ids:
        if token == marker:
            current += 1
        else:
            out.append(weights[current])
    return out


def _drop(value: Any, keep: list[int], length: int) -> Any:
    """A tensor of shape [1, tokens] without the markers, as a list; any other value as it is."""
    if isinstance(value, torch.Tensor) and value.shape == (1, length):
        return value[0, keep].tolist()
    return value
