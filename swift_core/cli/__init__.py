"""The command line: a Typer application whose commands import what they need when they run."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `swift`. A SwiftError prints its text and exits 2; anything else is a bug and keeps its traceback."""
    from swift_core.errors import SwiftError

    try:
        from swift_core.cli.quick import answer

        if not answer(sys.argv[1:]):
            from swift_core.cli.app import application

            application()(prog_name="swift")
    except SwiftError as error:
        print(f"swift: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("swift: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
