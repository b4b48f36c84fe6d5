"""A job as it comes together out of another program's words, and what became of each of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass
class Line:
    """What became of a word. what: taken, `needless` (nothing needs to be said), `lost` (no equal), `replaced` (another
    word of the file says the same option) or their default.

    options: ours, name → value. why: a remark, or the reason.
    """

    word: str
    value: Any
    what: Literal["taken", "needless", "lost", "replaced", "default"]
    options: dict[str, Any] = field(default_factory=dict)
    why: str = ""


@dataclass
class Draft:
    """A job as it comes together.

    table: of the program's words. program: how it is called. job: ours. lines: what became of each word. added: lists
    to which words have only added. unsure: components that are not installed, each with how to install it; their
    options are not checked. notes: what was not read.
    """

    table: str
    program: str
    job: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    added: set[str] = field(default_factory=set)
    unsure: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, what: str) -> list[Line]:
        """The lines of one sort."""
        return [line for line in self.lines if line.what == what]

    def add(self, line: Line, said: list[tuple[str, Any]]) -> None:
        """Take a line with its options; a name with `+` is added to a list, and a default goes to its front."""
        for name, value in said:
            name, plus, _ = name.partition("+")
            before = self.options.get(name)
            if plus:
                parts = [listed(value), before or []] if line.what == "default" else [before or [], listed(value)]
                value = list(dict.fromkeys([*listed(parts[0]), *listed(parts[1])]))
            elif isinstance(value, dict) and isinstance(before, dict):
                value = before | value
            elif before not in (None, value) and line.what == "taken":
                self._replace(name, line)
            self.added = self.added | {name} if plus and (before is None or name in self.added) else self.added - {name}
            self.options[name] = value
            line.options[name] = value
        self.lines.append(line)

    def _replace(self, name: str, by: Line) -> None:
        """Take an option from the words that said it before, which is told."""
        for line in [line for line in self.lines if name in line.options]:
            line.options.pop(name)
            if line.what == "taken":
                self.lines.append(Line(line.word, line.value, "replaced", why=f"{by.word} says --{name}, too"))
            if line.what == "taken" and not line.options:
                self.lines.remove(line)

    def is_free(self, name: str) -> bool:
        """Whether a default may still say an option: nothing else has, or words have only added to it."""
        name, plus, _ = name.partition("+")
        return name not in self.options or bool(plus and name in self.added)


def listed(value: Any) -> list[Any]:
    """`a,b`, `[a, b]` and `a` as a list."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return list(value) if isinstance(value, list) else [value]
