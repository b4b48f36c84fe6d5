"""`swift list` and `swift show` without building the whole command line, which costs ten times as much."""

from __future__ import annotations


def answer(words: list[str]) -> bool:
    """Print what `words` ask for; False where they are anything but a plain list or show, which Typer then reads."""
    command, *rest = words or [""]
    as_json = "--json" in rest
    rest = [w for w in rest if w != "--json"]
    search = ""
    if "--search" in rest[:-1]:
        at = rest.index("--search")
        search, rest = rest[at + 1], rest[:at] + rest[at + 2 :]
    if any(w.startswith("-") for w in rest):
        return False
    if command == "list" and len(rest) < 2:
        from swift_core.cli.listing import print_list

        print_list(rest[0] if rest else "", search, as_json)
    elif command == "show" and len(rest) == 2 and not search:
        from swift_core.cli.listing import print_show

        print_show(rest[0], rest[1], as_json)
    else:
        return False
    return True
