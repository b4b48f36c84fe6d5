"""Thoughts inside an answer: `<think>…</think>` and the words behind them."""

from __future__ import annotations

OPEN, CLOSE = "<think>", "</think>"


def split_thought(text: str, opened: bool = False) -> tuple[str, str]:
    """(thoughts, answer) of a text that begins with `<think>…</think>`; without line breaks between them.

    An answer that only mentions `</think>` has no thoughts. opened: the prompt holds `<think>` already, so that what
    the model said may lack it; then a `</think>` on a line of its own, with an empty line below, ends the thoughts.
    Where `<think>` stands on a line of its own, the first `</think>` that does so too ends them, if there is one.
    """
    if text.lstrip().startswith(OPEN):
        body = text.lstrip()[len(OPEN) :]
        mark = f"\n{CLOSE}\n" if body.startswith("\n") and f"\n{CLOSE}\n" in body else CLOSE
    else:
        body, mark = text, f"\n{CLOSE}\n\n" if opened else ""
    thought, end, answer = body.partition(mark) if mark else ("", "", "")
    return (thought.strip("\n"), answer.lstrip("\n")) if end else ("", text)


def inline_thought(thought: str, words: str) -> str:
    """Thoughts and words as one text, as `split_thought` takes it apart."""
    return f"<think>\n{thought}\n</think>\n\n{words}" if thought else words
