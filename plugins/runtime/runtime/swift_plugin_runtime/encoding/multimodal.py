"""Rows with media through the family's own transformers processor, in one call for the whole conversation.

A private marker token is put at every border between an answer and the rest; the processor expands the
media placeholders as it always does; then the markers are dropped from every tensor that runs along the
tokens, and labels fall out by construction. A tokenizer that writes other tokens around a marker is found
by a probe; its rows are processed without markers and laid beside the tokens of the text alone.
"""

from __future__ import annotations

import copy
from itertools import groupby, pairwise
from typing import Any

import torch

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_core.contract.row import Row, check_placeholders
from swift_core.data.media import open_media
from swift_core.templates.encode import encode_spans, labelled, weighed
from swift_core.templates.plain_text import GUARD, cut_at_guards
from swift_core.templates.render import Span, spans_of
from swift_plugin_runtime.loading.processor import tokenizer_of

MARKER = "<|swift_border|>"

MEDIA_KEYS = {
    "image": ("pixel_values", "image_pixel_values", "pixel_values_images", "image_patches", "flattened_patches"),
    "video": ("pixel_values_videos", "video_pixel_values", "pixel_values"),
    "audio": ("input_features", "input_values", "audio_values", "audio_features", "audio_input_features"),
}
"""Modality → tensors of which at least one must come back when the row has such media."""

FLOATS = {key for keys in MEDIA_KEYS.values() for key in keys}

ARGUMENTS = {"image": "images", "video": "videos", "audio": "audio"}
"""Modality → how processors call it."""

TOKEN_KEYS = ("cross_attention_mask",)
"""Tensors [1, tokens, …] that run along the tokens although they have further dimensions (Mllama)."""

PROBE = ("What is 1 + 2?", "It is 3.\n\nYes: 三", "\nWhy?", "Because, 1 and 2.")


def encode_with_processor(job: Job, rows: list[Row], processor: Any, generation: bool) -> list[dict[str, Any]]:
    """`encode` for a multimodal family; text-only rows go to its tokenizer alone."""
    return [_encode(job, row, processor, generation) for row in rows]


def _encode(job: Job, row: Row, processor: Any, generation: bool) -> dict[str, Any]:
    check_placeholders(row, job.card.modality)
    media = open_media(row, job.options.max_pixels, _sampling_rate(processor))
    spans = spans_of(job, row, tokenizer_of(processor), generation)
    if not media:
        encoded = encode_spans(tokenizer_of(processor), [spans])[0]
    elif _markers_are_harmless(job, processor):
        encoded = _marked(row, spans, media, processor)
    else:
        encoded = _aligned(job, row, spans, media, processor)
    if generation:
        encoded.pop("labels")
        encoded.pop("loss_scale", None)
    return encoded


def _sampling_rate(processor: Any) -> int | None:
    """Samples per second that the processor takes; None where it says none."""
    parts = (getattr(processor, name, None) for name in ("feature_extractor", "audio_processor"))
    rate = next((value for part in parts if (value := getattr(part, "sampling_rate", None))), None)
    return int(rate) if rate else None


# -- with markers ------------------------------------------------------------------------------------------
def _marked(row: Row, spans: list[Span], media: dict[str, list[Any]], processor: Any) -> dict[str, Any]:
    marking, marker = _with_marker(processor)
    groups = _groups(spans, row)
    output = _call(marking, MARKER.join("".join(s.text for s in group) for group in groups), media, row)
    ids = output["input_ids"][0].tolist()
    pieces = split_at(ids, marker)
    if len(pieces) != len(groups):
        raise SwiftError(f"{row.where}: the processor moved or dropped text between the turns.")
    weights = [w for group, piece in zip(groups, pieces, strict=True) for w in _weights(processor, group, piece, row)]
    keep = [place for place, token in enumerate(ids) if token != marker]
    return _encoded(output, [ids[place] for place in keep], weights, keep, processor)


def _groups(spans: list[Span], row: Row) -> list[list[Span]]:
    """Spans that are tokenized together, cut at guards: an answer is whole, unless answers of the row hold media."""
    return [part for group in _whole_groups(spans, row) for part in cut_at_guards(group)]


def _whole_groups(spans: list[Span], row: Row) -> list[list[Span]]:
    said = "".join(m.get("content") or "" for m in row.messages if m["role"] == "assistant")
    if any(f"<{name}>" in said for name in row.media):
        return [[span] for span in spans]
    keys = (-1 if span.answer else number for number, span in enumerate(spans))
    return [[span for _, span in group] for _, group in groupby(zip(keys, spans, strict=True), lambda pair: pair[0])]


def _weights(processor: Any, group: list[Span], ids: list[int], row: Row) -> list[float]:
    if len(group) == 1:
        return [group[0].weight] * len(ids)
    tokens, runs = weighed(tokenizer_of(processor), [group])[0]
    if tokens != ids:
        raise SwiftError(f"{row.where}: the processor writes the answer {group[0].text[:40]!r} … with other tokens.")
    weights = [0.0] * len(ids)
    for first, behind, weight in runs:
        weights[first:behind] = [weight] * (behind - first)
    return weights


def split_at(ids: list[int], marker: int) -> list[list[int]]:
    """The ids between markers."""
    pieces: list[list[int]] = [[]]
    for token in ids:
        if token == marker:
            pieces.append([])
        else:
            pieces[-1].append(token)
    return pieces


def _with_marker(processor: Any) -> tuple[Any, int]:
    """A copy of the processor that knows the marker; made once and kept on the processor."""
    pair = getattr(processor, "_swift_marking", None)
    if pair is None:
        marking = copy.deepcopy(processor)
        tokenizer_of(marking).add_special_tokens(
            {"additional_special_tokens": [MARKER]}, replace_extra_special_tokens=False
        )
        pair = marking, tokenizer_of(marking).convert_tokens_to_ids(MARKER)
        processor._swift_marking = pair
    return pair


def _markers_are_harmless(job: Job, processor: Any) -> bool:
    """Whether text with markers has the ids of the same text without them; asked once per job and processor."""
    key = ("markers", id(processor))
    if key not in job.memo:
        rounds = PROBE[:2] if job.one("template").single else PROBE
        messages = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(rounds)]
        row = Row(messages)
        spans = spans_of(job, row, tokenizer_of(processor))
        marking, marker = _with_marker(processor)
        text = MARKER.join("".join(s.text for s in group) for group in _groups(spans, row))
        marked = tokenizer_of(marking)(text, add_special_tokens=False)["input_ids"]
        plain = encode_spans(tokenizer_of(processor), [spans])[0]["input_ids"]
        job.memo[key] = [token for token in marked if token != marker] == plain
    return bool(job.memo[key])


# -- without markers ---------------------------------------------------------------------------------------
def _aligned(job: Job, row: Row, spans: list[Span], media: dict[str, list[Any]], processor: Any) -> dict[str, Any]:
    if any(GUARD in span.text for span in spans):
        raise SwiftError(
            f"{row.where}: beside media this model's processor cannot take a control word of the text as text. Leave "
            "it out, or let it count as a control token: --plain_user_text false."
        )
    tokenizer = tokenizer_of(processor)
    output = _call(processor, "".join(s.text for s in spans), media, row)
    ids = output["input_ids"][0].tolist()
    text = encode_spans(tokenizer, [spans])[0]
    special = set(tokenizer.all_special_ids)
    written = "".join(job.one("template").media[name] for name in media)
    borders = {token for token in tokenizer(written, add_special_tokens=False)["input_ids"] if token in special}
    weights = [0.0] * len(ids)
    given = text.get("loss_scale") or [float(label >= 0) for label in text["labels"]]
    for start, place, length in lay_beside(ids, text["input_ids"], borders, row.where):
        weights[place : place + length] = given[start : start + length]
    return _encoded(output, ids, weights, list(range(len(ids))), processor)


def lay_beside(whole: list[int], text: list[int], borders: set[int], where: str) -> list[tuple[int, int, int]]:
    """Where each stretch of `text` between media stands in `whole`: (place in text, place in whole, length).

    borders: the tokens of media placeholders. The last stretch stands at the end, the others as early as can be.
    Raises SwiftError, which begins with `where`, where a stretch is not found.
    """
    edges = [-1, *(n for n, token in enumerate(text) if token in borders), len(text)]
    stretches = [(a + 1, text[a + 1 : b]) for a, b in pairwise(edges) if b > a + 1]
    laid, place = [], 0
    for start, stretch in stretches:
        last = start + len(stretch) == len(text)
        there = len(whole) - len(stretch) if last else _find(whole, stretch, place)
        if there < place or whole[there : there + len(stretch)] != stretch:
            raise SwiftError(f"{where}: the processor writes the conversation with other tokens than the tokenizer.")
        laid.append((start, there, len(stretch)))
        place = there + len(stretch)
    return laid


def _find(whole: list[int], stretch: list[int], place: int) -> int:
    fits = (n for n in range(place, len(whole)) if whole[n : n + len(stretch)] == stretch)
    return next(fits, -1)


def in_weights_dtype(model: Any, arguments: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A forward pre-hook: media in the dtype of the weights. Some processors return half precision (Llama 4), others
    float32, and not every tower converts what it gets."""
    for key in FLOATS & named.keys():
        value = named[key]
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            named[key] = value.to(model.dtype)
    return arguments, named


# -- the call ----------------------------------------------------------------------------------------------
def _call(processor: Any, text: str, media: dict[str, list[Any]], row: Row) -> dict[str, Any]:
    where = row.where
    _refuse_absent(processor, media, where)
    arguments: dict[str, Any] = {ARGUMENTS[k]: v for k, v in media.items()}
    if "video" in media:
        arguments |= _video_arguments(media["video"], row.video_rates)
    try:
        output = dict(processor(text=[text], return_tensors="pt", add_special_tokens=False, **arguments))
    except (ValueError, TypeError, IndexError, RuntimeError, AttributeError, KeyError) as error:
        raise SwiftError(f"{where}: the processor refuses the row: {error}") from error
    _refuse_ignored(output, media, where)
    return output


def _video_arguments(videos: list[Any], rates: list[float]) -> dict[str, Any]:
    """The frames were chosen when the video was opened; some processors write the time of each into the text."""
    facts = [
        {"total_num_frames": len(v), "fps": rate, "duration": len(v) / rate, "frames_indices": list(range(len(v)))}
        for v, rate in zip(videos, rates, strict=True)
    ]
    return {"do_sample_frames": False, "video_metadata": facts}


def lacks(processor: Any, modality: str) -> bool:
    """Whether the part of a processor that a modality needs could not be made, for want of a library."""
    return modality == "video" and getattr(processor, "video_processor", True) is None


def _refuse_absent(processor: Any, media: dict[str, list[Any]], where: str) -> None:
    if "video" in media and lacks(processor, "video"):
        raise SwiftError(f"{where}: the video processor of this model needs torchvision: pip install torchvision")


def _refuse_ignored(output: dict[str, Any], media: dict[str, list[Any]], where: str) -> None:
    """Some processors accept a modality and silently ignore it: that must be an error."""
    taken: set[str] = set()
    for name in media:
        there = [key for key in MEDIA_KEYS[name] if key in output and key not in taken]
        if not there or not len(output[there[0]]):
            raise SwiftError(f"{where}: the processor took the {name} but returned nothing for it.")
        taken.add(there[0])


def _encoded(
    output: dict[str, Any], ids: list[int], weights: list[float], keep: list[int], processor: Any
) -> dict[str, Any]:
    """The training row: ids, labels and every other output of the processor at the places to keep."""
    media = {getattr(processor, f"{name}_token_id", None) for name in MEDIA_KEYS}
    encoded = labelled(ids, [0.0 if token in media else w for token, w in zip(ids, weights, strict=True)])
    length = output["input_ids"].shape[1]
    for name, value in output.items():
        if name not in ("input_ids", "attention_mask", "labels"):
            encoded[name] = _kept(name, value, keep, length)
    return encoded


def _kept(name: str, value: Any, keep: list[int], length: int) -> Any:
    """A tensor [1, tokens] at the places to keep, as a list; [1, tokens, …] as a tensor; any other as it is, in
    float32 where the processor made it half precision."""
    if isinstance(value, torch.Tensor) and value.shape == (1, length):
        return value[0, keep].tolist()
    if name in TOKEN_KEYS:
        return value[:, keep]
    half = isinstance(value, torch.Tensor) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if half else value
