"""Qwen2-VL's boxes (arXiv 2409.12191): corner points in thousandths of the picture, inside special tokens.

<|object_ref_start|>the dog<|object_ref_end|><|box_start|>(102,220),(515,998)<|box_end|>
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from swift_core import hookimpl
from swift_core.contract.components import Box
from swift_core.data.boxes import fill_placeholders, from_pixels, to_pixels

REF = r"<\|object_ref_start\|>(?P<ref>.*?)<\|object_ref_end\|>"
POINT = r"\(\s*-?\d+\s*,\s*-?\d+\s*\)"
BOX = rf"<\|box_start\|>(?P<box>\s*{POINT}(?:\s*,\s*{POINT})?\s*)<\|box_end\|>"
EITHER = re.compile(f"{REF}|{BOX}", re.DOTALL)


@dataclass(kw_only=True, eq=False)
class Qwen2VL(Box):
    """Boxes and points in thousandths inside <|box_start|>, names inside <|object_ref_start|>."""

    swift_api = 1

    @hookimpl
    def write_boxes(self, text: str, row: Any) -> str:
        return fill_placeholders(text, row, _written_ref, _written_box)

    @hookimpl
    def read_boxes(self, text: str, width: int, height: int) -> list[dict[str, Any]]:
        boxes, ref, end = [], None, 0
        for match in EITHER.finditer(text):
            if match["ref"] is not None:
                ref = match["ref"]
            else:
                # a name belongs to the boxes that follow it directly, one or several
                ref = ref if not text[end : match.start()].strip(" ,\n") else None
                thousandths = [float(v) for v in re.findall(r"-?\d+", match["box"])]
                boxes.append({"ref": ref, "bbox": to_pixels(thousandths, "norm_1000", width, height)})
            end = match.end()
        return boxes


def _written_ref(ref: str) -> str:
    return f"<|object_ref_start|>{ref}<|object_ref_end|>"


def _written_box(box: list[float], size: tuple[int, int]) -> str:
    values = from_pixels(box, "norm_1000", *size)
    points = ",".join(f"({x},{y})" for x, y in zip(values[::2], values[1::2], strict=True))
    return f"<|box_start|>{points}<|box_end|>"
