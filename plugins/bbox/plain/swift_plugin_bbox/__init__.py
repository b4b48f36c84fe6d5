"""Boxes in the three plain conventions, written as `[x1, y1, x2, y2]`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from swift_core import hookimpl
from swift_core.data.boxes import from_pixels, pixel_objects, to_pixels

NUMBER = r"-?\d+(?:\.\d+)?"
BOX = re.compile(rf"\[\s*({NUMBER}(?:\s*,\s*{NUMBER})+)\s*\]")


@dataclass(frozen=True, eq=False)
class Plain:
    """Boxes as bracketed numbers; bbox_type: real (pixels), norm_1 or norm_1000."""

    name: str
    bbox_type: str
    swift_api = 1

    @hookimpl
    def write_boxes(self, text: str, row: Any) -> str:
        objects = pixel_objects(row)
        refs = iter([o["ref"] or "" for o in objects])
        boxes = iter(objects)
        text = re.sub("<ref-object>", lambda _: next(refs), text)
        return re.sub("<bbox>", lambda _: self._written(next(boxes)), text)

    def _written(self, item: dict[str, Any]) -> str:
        values = from_pixels(item["bbox"], self.bbox_type, *item["size"])
        return "[" + ", ".join(f"{v:g}" for v in values) + "]"

    @hookimpl
    def read_boxes(self, text: str, width: int, height: int) -> list[dict[str, Any]]:
        found = [[float(v) for v in m.group(1).split(",")] for m in BOX.finditer(text)]
        return [
            {"ref": None, "bbox": to_pixels(box, self.bbox_type, width, height)} for box in found if len(box) in (2, 4)
        ]


real = Plain("real", "real")
norm_1 = Plain("norm_1", "norm_1")
norm_1000 = Plain("norm_1000", "norm_1000")
