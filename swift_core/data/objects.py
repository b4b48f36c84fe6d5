"""The boxes of a row in our column form, checked."""

from __future__ import annotations

from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.data.boxes import SCALES
from swift_core.data.values import loaded, number_of, shown

Raw = dict[str, Any]


def read_objects(value: Any, where: str) -> Raw:
    """Objects in the column form, from it, from JSON text, or from the paper's list of objects.

    Raises SwiftError, which begins with `where`, for another form.
    """
    objects = loaded(value or {}, where)
    if isinstance(objects, list):
        objects = _columns_of(objects, where)
    if not isinstance(objects, dict):
        raise SwiftError(f"{where}: objects must hold ref, bbox and bbox_type, found {type(objects).__name__}.")
    objects = {k: v for k, v in objects.items() if v is not None}
    for name, right, wanted in CHECKS:
        if name in objects and not right(objects[name]):
            raise SwiftError(f"{where}: {name} {shown(objects[name])} is not {wanted}.")
    return objects


def _columns_of(objects: list[Any], where: str) -> Raw:
    """The paper's list of objects (caption, bbox, bbox_type, image) as columns."""
    for number, item in enumerate(objects, 1):
        if not isinstance(item, dict) or "bbox" not in item:
            raise SwiftError(f"{where}: object {number} has no bbox: {shown(item)}.")
    return {
        "ref": [o.get("caption", o.get("ref", "")) for o in objects],
        "bbox": [o["bbox"] for o in objects],
        "bbox_type": [o.get("bbox_type", "real") for o in objects],
        "image_id": [o.get("image", o.get("image_id", 0)) for o in objects],
    }


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _are_boxes(value: Any) -> bool:
    return isinstance(value, list) and all(_is_box(box) for box in value)


def _is_box(box: Any) -> bool:
    if not isinstance(box, list | tuple) or len(box) not in (2, 4):
        return False
    return all(number_of(v) is not None and not isinstance(v, str) for v in box)


def _are_types(value: Any) -> bool:
    return all(isinstance(v, str) and v in SCALES for v in (value if isinstance(value, list) else [value]))


def _are_images(value: Any) -> bool:
    return all(type(v) is int and v >= 0 for v in (value if isinstance(value, list) else [value]))


CHECKS = (
    ("ref", _are_texts, "a list of texts"),
    ("bbox", _are_boxes, "a list of boxes; a box is a list of 4 numbers and a point of 2"),
    ("bbox_type", _are_types, "real, norm_1 or norm_1000"),
    ("image_id", _are_images, "the number of an image, from 0"),
)
