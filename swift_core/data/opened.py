"""Data files as lines of text, whatever compresses them and however they are encoded."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from swift_core.contract.errors import SwiftError
from swift_core.data.faults import BadRow

DAMAGED = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)
"""What the readers of compressed files raise; Arrow's errors are among them."""

BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""First bytes → encoding; UTF-32 stands before UTF-16, whose mark begins its own. Without a mark: UTF-8."""


def _zstandard(file: Path) -> IO[bytes]:
    try:
        import pyarrow
    except ImportError:
        raise SwiftError(f"{file}: reading zstandard needs pyarrow: pip install pyarrow") from None
    return cast("IO[bytes]", pyarrow.input_stream(str(file), compression="zstd"))


COMPRESSED: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x28\xb5\x2f\xfd": _zstandard,
}
"""First bytes → what opens the file as bytes."""


@contextmanager
def open_text(file: Path, newline: str | None = None) -> Iterator[IO[str]]:
    """A data file as text. Bytes that are no text become lone surrogates, which `check_text` finds.

    SwiftError where it is no file (a pipe would wait for ever), cannot be read, or its compression is damaged.
    """
    if not file.is_file():
        raise SwiftError(f"{file}: it is not a regular file.")
    try:
        with _bytes(file) as raw:
            stream = io.BufferedReader(cast("Any", raw)) if not hasattr(raw, "peek") else raw
            encoding = next((e for bom, e in BOMS.items() if stream.peek(4)[:4].startswith(bom)), "utf-8")
            with io.TextIOWrapper(cast("Any", stream), encoding, "surrogateescape", newline) as text:
                yield text
    except SwiftError:
        raise
    except DAMAGED as error:
        reason = getattr(error, "strerror", None) or str(error)[:200]
        raise SwiftError(f"{file}: the file cannot be read ({reason}).") from None


def _bytes(file: Path) -> Any:
    with file.open("rb") as stream:
        first = stream.read(6)
    opener = next((opener for mark, opener in COMPRESSED.items() if first.startswith(mark)), None)
    return opener(file) if opener else file.open("rb")


def lines_of(file: Path) -> Iterator[tuple[int, str]]:
    """The lines of a data file that are not blank, each with its number."""
    with open_text(file) as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield number, line


def check_text(text: str, where: str) -> None:
    """BadRow where a text holds bytes that are not UTF-8."""
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        byte = ord(text[error.start])
        said = f"the byte 0x{byte - 0xDC00:02x} is" if 0xDC80 <= byte <= 0xDCFF else "half a character is"
        raise BadRow(f"{where}: {said} not UTF-8. Save the file in UTF-8: iconv -f ITS_ENCODING -t UTF-8.") from None
