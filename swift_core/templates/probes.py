"""Conversations on which a declared chat template is compared with a checkpoint's own."""

from __future__ import annotations

from swift_core.templates.chat import Message


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _said(text: str, thought: str = "") -> Message:
    return {"role": "assistant", "content": text, **({"reasoning_content": thought} if thought else {})}


def _system(text: str) -> Message:
    return {"role": "system", "content": text}


PLAIN: dict[str, list[Message]] = {
    "one round": [_user("Hi"), _said("Hello!")],
    "a system text": [_system("You are brief."), _user("Hi"), _said("Hello!")],
    "two rounds": [_user("Hi"), _said("Hello!"), _user("And?"), _said("More.")],
    "three rounds with a system text": [
        *[_system("Be kind."), _user("One"), _said("1"), _user("Two"), _said("2"), _user("Three"), _said("3")]
    ],
}
"""Where these differ, another conversation is trained than the model knows."""

EDGES: dict[str, list[Message]] = {
    "an empty system text": [_system(""), _user("Hi"), _said("Hello!")],
    "outer spaces": [_system(" Be brief. "), _user("  Hi "), _said("Hello! ")],
    "outer line breaks": [_user("Hi\n\n"), _said("Hello!\n")],
    "an indented answer": [_user("Hi"), _said("\n  x = 1  \n")],
}
"""Rare rows: where only these differ, the declared template stays."""

THOUGHTS: dict[str, list[Message]] = {
    "thoughts in the last answer": [_user("Hi"), _said("Hello!"), _user("Why?"), _said("So.", "Let me see.\nYes.")],
    "thoughts in every answer": [_user("Hi"), _said("Hello!", "A greeting."), _user("Why?"), _said("So.", "Hm.")],
}
"""For templates that know thoughts."""
