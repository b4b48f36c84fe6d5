"""Boxes in pixels of the original image, and the three ways in which data sets give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swift_core.data.row import Row
from swift_core.errors import SwiftError

SCALES = {"real": None, "none": None, "norm_1": 1.0, "norm1": 1.0, "norm_1000": 1000.0, "norm1000": 1000.0}
"""bbox_type → the value that stands for the image's full width or height; None: pixels."""


def to_pixels(box: Sequence[float], bbox_type: str, width: int, height: int) -> list[float]:
    """A box or point [x, y, …] of `bbox_type` as pixels of a width × height image."""
    scale = SCALES[bbox_type]
    if scale is None:
        return [float(v) for v in box]
    return [v / scale * (width, height)[i % 2] for i, v in enumerate(box)]


def from_pixels(box: Sequence[float], bbox_type: str, width: int, height: int) -> list[float]:
    """The inverse of `to_pixels`; norm_1000 gives whole numbers."""
    scale = SCALES[bbox_type]
    if scale is None:
        return [round(v) for v in box]
    values = [v / (width, height)[i % 2] * scale for i, v in enumerate(box)]
    return [round(v) for v in values] if scale == 1000 else [round(v, 4) for v in values]


def pixel_objects(row: Row) -> list[dict[str, Any]]:
    """The row's objects as `{"ref", "bbox" in pixels, "size": (width, height)}`; SwiftError outside the picture."""
    objects = row.objects
    boxes = objects.get("bbox") or []
    refs = objects.get("ref") or [None] * len(boxes)
    ids = objects.get("image_id") or [0] * len(boxes)
    out = []
    for number, box in enumerate(boxes):
        size = _size(row, ids[min(number, len(ids) - 1)])
        pixels = to_pixels(box, objects.get("bbox_type", "real"), *size)
        _check_inside(pixels, size, f"{row.where}, box {number + 1}")
        out.append({"ref": refs[number] if number < len(refs) else None, "bbox": pixels, "size": size})
    return out


def _size(row: Row, image: int) -> tuple[int, int]:
    if image >= len(row.image_sizes):
        raise SwiftError(f"{row.where}: a box belongs to image {image}, but the row has {len(row.image_sizes)}.")
    return row.image_sizes[image]


def _check_inside(box: list[float], size: tuple[int, int], where: str) -> None:
    if len(box) not in (2, 4):
        raise SwiftError(f"{where}: a box has 4 numbers and a point 2, found {len(box)}.")
    inside = all(-1 <= v <= size[i % 2] + 1 for i, v in enumerate(box))
    if not inside or (len(box) == 4 and (box[0] > box[2] or box[1] > box[3])):
        shown = [round(v, 1) for v in box]
        raise SwiftError(f"{where}: {shown} does not lie in the {size[0]} × {size[1]} picture as x1, y1, x2, y2.")
