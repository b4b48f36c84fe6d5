"""Boxes in the three plain conventions, written as `[x1, y1, x2, y2]`; points as `[x, y]`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from swift_core import hookimpl
from swift_core.contract.components import Box
from swift_core.contract.job import Job
from swift_core.data.boxes import fill_placeholders, from_pixels, rescale, to_pixels
from swift_core.data.media import shrunk_size

NUMBER = r"-?\d+(?:\.\d+)?"
POINT = rf"\(?\s*{NUMBER}\s*,\s*{NUMBER}\s*\)?"
BOX = re.compile(rf"\[\s*{POINT}(?:\s*,\s*{POINT})?\s*\]")


@dataclass(frozen=True, eq=False)
class Plain(Box):
    """Boxes as bracketed numbers; bbox_type: real (pixels), norm_1 or norm_1000.

    Pixels are those of the picture that the model sees, so they shrink with it under --max_pixels.
    """

    name: str
    bbox_type: str
    swift_api = 1

    @hookimpl
    def write_boxes(self, job: Job, text: str, row: Any) -> str:
        def written(box: list[float], size: tuple[int, int]) -> str:
            seen = shrunk_size(*size, job.options.max_pixels)
            values = from_pixels(rescale(box, size, seen), self.bbox_type, *seen)
            return "[" + ", ".join(f"{v:g}" for v in values) + "]"

        return fill_placeholders(text, row, str, written)

    @hookimpl
    def read_boxes(self, job: Job, text: str, width: int, height: int) -> list[dict[str, Any]]:
        size = (width, height)
        seen = shrunk_size(*size, job.options.max_pixels)
        boxes = [[float(v) for v in re.findall(NUMBER, m.group())] for m in BOX.finditer(text)]
        return [{"ref": None, "bbox": rescale(to_pixels(box, self.bbox_type, *seen), seen, size)} for box in boxes]


real = Plain("real", "real")
norm_1 = Plain("norm_1", "norm_1")
norm_1000 = Plain("norm_1000", "norm_1000")
