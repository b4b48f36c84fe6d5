"""The command line. What only asks is answered from memory, jobs read their own words, Typer has the rest."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `swift`. A SwiftError prints its text and exits 2; anything else is a bug and keeps its traceback."""
    from swift_core.contract.errors import Interrupted, SwiftError

    try:
        _run(sys.argv[1:])
    except Interrupted as error:
        print(f"swift: {error}", file=sys.stderr)
        sys.exit(128 + error.number)
    except SwiftError as error:
        print(f"swift: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("swift: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


def _run(words: list[str]) -> None:
    from swift_core.cli.quick import answer

    if words[:2] == ["show", "data"]:
        from swift_core.cli.show_data import show_data

        return show_data(words[2:])
    if words[:1] == ["recipes"]:
        from swift_core.cli.recipes import recipes

        return recipes(words[1:])
    if answer(words):
        return
    from swift_core.job.specs import JOBS

    if words[0] in JOBS or words[0] == "explain":
        from swift_core.cli.work import explain, run_job

        explain(words[1:]) if words[0] == "explain" else run_job(*words)
    else:
        from swift_core.cli.app import application

        application(words[0])(words, prog_name="swift")
