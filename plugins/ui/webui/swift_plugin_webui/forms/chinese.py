"""What options say of themselves, in Chinese: the table from which `docs/zh/cli.md` is written, too.

A line of `zh_options.tsv` is a mark of the English help, the option's name, and the Chinese text. A help that changes
has another mark, so that no translation goes stale unseen: the English text is shown then, and `tools/zh.py` complains.
"""

from __future__ import annotations

import functools
import hashlib
from importlib import resources

TABLE = resources.files(__package__).joinpath("zh_options.tsv")


def mark(help: str) -> str:
    """The mark of an option's English help."""
    return hashlib.sha256(help.encode()).hexdigest()[:8]


@functools.cache
def translations() -> dict[tuple[str, str], str]:
    """(name, mark of the English help) → Chinese text."""
    lines = [line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines()]
    return {(name, of): text for of, name, text in lines}


def in_chinese(name: str, help: str) -> str:
    """The help of an option in Chinese; the English one where nobody has translated it."""
    return translations().get((name, mark(help)), help)
