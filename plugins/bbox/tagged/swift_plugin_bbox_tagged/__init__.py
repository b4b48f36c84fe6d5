"""The written forms of boxes that families were taught: two corners as whole numbers, in tags or as location tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from swift_core import hookimpl
from swift_core.contract.components import Box
from swift_core.data.boxes import fill_placeholders

NUMBER = r"\s*(-?\d+)\s*"


@dataclass(frozen=True, eq=False)
class Tagged(Box):
    """Boxes and points between tags, corner by corner.

    corner: one corner, holds two `{}`; joint: what stands between two corners; box: around both, holds `{}`.
    ref: around an object's name, holds `{}`; bare where a name is plain text. top: the number that stands for the
    picture's full width or height. down_first: y stands before x.
    """

    name: str
    corner: str
    joint: str
    box: str = "{}"
    ref: str = "{}"
    top: int = 1000
    down_first: bool = False
    swift_api = 1

    @hookimpl
    def write_boxes(self, text: str, row: Any) -> str:
        return fill_placeholders(text, row, self.ref.format, self._written)

    @hookimpl
    def read_boxes(self, text: str, width: int, height: int) -> list[dict[str, Any]]:
        boxes, ref, end = [], None, 0
        for match in self._pattern.finditer(text):
            name, *numbers = match.groups()
            if name is not None:
                ref = name
            else:
                # a name belongs to the boxes that follow it directly, one or several
                ref = ref if not text[end : match.start()].strip(" ,\n") else None
                boxes.append({"ref": ref, "bbox": self._pixels([int(n) for n in numbers if n], width, height)})
            end = match.end()
        return boxes

    def _written(self, box: list[float], size: tuple[int, int]) -> str:
        values = [round(v / size[n % 2] * self.top) for n, v in enumerate(box)]
        corners = zip(values[::2], values[1::2], strict=True)
        return self.box.format(self.joint.join(self.corner.format(*self._turned(corner)) for corner in corners))

    def _pixels(self, numbers: list[int], width: int, height: int) -> list[float]:
        corners = [self._turned(numbers[n : n + 2]) for n in range(0, len(numbers), 2)]
        return [v / self.top * side for corner in corners for v, side in zip(corner, (width, height), strict=True)]

    def _turned(self, corner: Any) -> Any:
        return corner[::-1] if self.down_first else corner

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        corner = NUMBER.join(map(re.escape, re.split(r"\{.*?\}", self.corner)))
        both = rf"\s*{corner}(?:{re.escape(self.joint.strip())}\s*{corner})?\s*"
        box = both.join(map(re.escape, self.box.split("{}")))
        bare = self.ref == "{}"
        name = "(.*?)".join(map(re.escape, self.ref.split("{}")))
        return re.compile(f"{'(?!)()' if bare else name}|{box}", re.DOTALL)


qwen_vl = Tagged("qwen_vl", "({},{})", ",", "<box>{}</box>", "<ref>{}</ref>")
"""Qwen-VL (arXiv 2308.12966)."""

internvl = Tagged("internvl", "{}, {}", ", ", "<box>[[{}]]</box>", "<ref>{}</ref>")
"""InternVL 1.2 and later (arXiv 2404.16821)."""

minicpmv = Tagged("minicpmv", "{} {}", " ", "<box>{}</box>", "<ref>{}</ref>")
"""MiniCPM-V 2.5 and later (arXiv 2408.01800)."""

deepseek_vl2 = Tagged("deepseek_vl2", "{}, {}", ", ", "<|det|>[[{}]]<|/det|>", "<|ref|>{}<|/ref|>", top=999)
"""DeepSeek-VL2 (arXiv 2412.10302)."""

cogvlm = Tagged("cogvlm", "{:03},{:03}", ",", "[[{}]]", top=999)
"""CogVLM and CogAgent (arXiv 2311.03079)."""

florence = Tagged("florence", "<loc_{}><loc_{}>", "", top=999)
"""Florence-2 (arXiv 2311.06242)."""

paligemma = Tagged("paligemma", "<loc{:04}><loc{:04}>", "", top=1023, down_first=True)
"""PaliGemma (arXiv 2407.07726)."""
