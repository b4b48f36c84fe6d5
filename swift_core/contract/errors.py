"""The one exception a user is meant to see.

A `SwiftError` is a mistake the user can fix: the CLI prints its text without a traceback and exits 2.
Any other exception that reaches the top is a bug in swift-core or in a plugin, and keeps its traceback.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs a quarter of an interpreter's start, and the quickest commands import this
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    T = TypeVar("T")


class SwiftError(Exception):
    """What is wrong, where, and what to do about it, in one paragraph."""


class TooLong(SwiftError):
    """A prompt that the model's window cannot hold."""


class Interrupted(SwiftError):
    """A signal stopped the job, and what it had done is saved. number: the signal; the CLI exits with 128 + number."""

    def __init__(self, text: str, number: int):
        super().__init__(text)
        self.number = number


class SwiftErrors(SwiftError):
    """Several mistakes found in one pass, reported together so that the user fixes them in one go."""

    def __init__(self, mistakes: Iterable[str]):
        self.mistakes = list(dict.fromkeys(mistakes))
        super().__init__("\n".join(self.mistakes))


def attempt(mistakes: list[str], function: Callable[..., T], *arguments: object) -> T | None:
    """What `function` returns; None where it raises a SwiftError or cannot read a file.

    The reason is then in `mistakes`.
    """
    try:
        return function(*arguments)
    except SwiftErrors as errors:
        mistakes += errors.mistakes
    except SwiftError as error:
        mistakes.append(str(error))
    except OSError as error:  # a name of the user's that no file can have, or one that may not be read
        mistakes.append(f"{str(error.filename)[:200]!r} cannot be read: {error.strerror}.")
    return None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the nearest known word, or an empty string."""
    import difflib

    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""
