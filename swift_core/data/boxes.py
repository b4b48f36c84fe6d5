"""Boxes in pixels of the original image, and the three ways in which data sets give them."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row

SCALES = {"real": None, "none": None, "norm_1": 1.0, "norm1": 1.0, "norm_1000": 1000.0, "norm1000": 1000.0}
"""bbox_type → the value that stands for the image's full width or height; None: pixels."""

REF, BOX = "<ref-object>", "<bbox>"
PLACEHOLDER = re.compile(f"{REF}|{BOX}")

Box = list[float]
Size = tuple[int, int]


def to_pixels(box: Sequence[float], bbox_type: str, width: int, height: int) -> Box:
    """A box or point [x, y, …] of `bbox_type` as pixels of a width × height image."""
    scale = SCALES[bbox_type]
    if scale is None:
        return [float(v) for v in box]
    return [v / scale * (width, height)[i % 2] for i, v in enumerate(box)]


def from_pixels(box: Sequence[float], bbox_type: str, width: int, height: int) -> Box:
    """The inverse of `to_pixels`: whole pixels, whole thousandths, or shares of 1 with four decimals."""
    scale = SCALES[bbox_type]
    if scale is None:
        return [round(v) for v in box]
    values = [v / (width, height)[i % 2] * scale for i, v in enumerate(box)]
    return [round(v) for v in values] if scale == 1000 else [round(v, 4) for v in values]


def rescale(box: Sequence[float], size: Size, new: Size) -> Box:
    """A box in pixels of an image of `size` as pixels of the same image resized to `new`."""
    return [v * new[i % 2] / size[i % 2] for i, v in enumerate(box)]


def fill_placeholders(
    text: str, row: Row, write_ref: Callable[[str], str], write_box: Callable[[Box, Size], str]
) -> str:
    """`text` with each `<ref-object>` and `<bbox>` written by the two functions, in the order of `row.objects`.

    write_box takes a box in pixels and the (width, height) of its image. SwiftError where text and objects
    do not agree, or a box lies outside its picture.
    """
    _check_counts(text, row)
    refs, boxes = iter(row.objects.get("ref") or []), iter(pixel_boxes(row))
    return PLACEHOLDER.sub(lambda m: write_ref(next(refs)) if m[0] == REF else write_box(*next(boxes)), text)


def share_objects(row: Row, texts: Sequence[str]) -> list[Row]:
    """For each text of the conversation, the row with those objects alone that its placeholders stand for."""
    shared, refs, boxes = [], 0, 0
    for text in texts:
        next_refs, next_boxes = refs + text.count(REF), boxes + text.count(BOX)
        part = {
            **row.objects,
            "ref": (row.objects.get("ref") or [])[refs:next_refs],
            **{k: v[boxes:next_boxes] for k, v in row.objects.items() if k != "ref" and isinstance(v, list)},
        }
        shared.append(dataclasses.replace(row, objects=part))
        refs, boxes = next_refs, next_boxes
    return shared


def pixel_boxes(row: Row) -> list[tuple[Box, Size]]:
    """The row's boxes in pixels, each with the (width, height) of its image; SwiftError outside the picture."""
    boxes = row.objects.get("bbox") or []
    kinds = _per_box(row, "bbox_type", "real", len(boxes))
    images = _per_box(row, "image_id", 0, len(boxes))
    return [
        _pixel_box(row, box, kind, image, f"{row.where}, box {number}")
        for number, (box, kind, image) in enumerate(zip(boxes, kinds, images, strict=True), 1)
    ]


def _per_box(row: Row, name: str, default: Any, count: int) -> list[Any]:
    """A property of the boxes, given once for all of them or once for each."""
    value = row.objects.get(name)
    if not isinstance(value, list):
        return [default if value is None else value] * count
    if value and len(value) != count:
        raise SwiftError(f"{row.where}: {count} boxes but {len(value)} entries in {name}. They must agree.")
    return value or [default] * count


def _pixel_box(row: Row, box: Any, kind: Any, image: Any, where: str) -> tuple[Box, Size]:
    if kind not in SCALES:
        raise SwiftError(f"{where}: bbox_type {kind!r} is not real, norm_1 or norm_1000.")
    if not isinstance(image, int) or not 0 <= image < len(row.image_sizes):
        raise SwiftError(f"{where}: it belongs to image {image!r} (0 is the first), but the row has {_images(row)}.")
    size = row.image_sizes[image]
    pixels = to_pixels(_numbers(box, where), kind, *size)
    _check_inside(pixels, size, where)
    return [min(max(v, 0.0), float(size[i % 2])) for i, v in enumerate(pixels)], size


def _images(row: Row) -> str:
    return f"{len(row.image_sizes)} image{'s' * (len(row.image_sizes) != 1)}"


def _numbers(box: Any, where: str) -> Box:
    is_list = isinstance(box, list | tuple) and len(box) in (2, 4)
    if not is_list or not all(isinstance(v, int | float) and math.isfinite(v) for v in box):
        raise SwiftError(f"{where}: a box is a list of 4 numbers and a point of 2, found {box!r}.")
    return [float(v) for v in box]


def _check_inside(box: Box, size: Size, where: str) -> None:
    inside = all(-1 <= v <= size[i % 2] + 1 for i, v in enumerate(box))  # annotators round by up to a pixel
    if not inside or (len(box) == 4 and (box[0] > box[2] or box[1] > box[3])):
        shown = [round(v, 1) for v in box]
        raise SwiftError(f"{where}: {shown} does not lie in the {size[0]} × {size[1]} picture as x1, y1, x2, y2.")


def _check_counts(text: str, row: Row) -> None:
    for mark, name in ((REF, "ref"), (BOX, "bbox")):
        there, given = text.count(mark), len(row.objects.get(name) or [])
        if there > given:
            raise SwiftError(f"{row.where}: {there} {mark} in the text but {given} left in objects.{name}.")
