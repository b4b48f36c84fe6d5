"""The command line. What only asks is answered from memory, jobs read their own words, Typer has the rest."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `swift`. A SwiftError prints its text and exits 2; anything else is a bug and keeps its traceback."""
    from swift_core.contract.errors import Interrupted, SwiftError

    try:
        _run(sys.argv[1:])
    except Interrupted as error:
        _tell(error)
        sys.exit(128 + error.number)
    except SwiftError as error:
        _tell(error)
        sys.exit(2)
    except KeyboardInterrupt:
        print("swift: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


TOLD = "SWIFT_TOLD"
"""Variable with a folder in which the processes of one launcher note what they have told."""


def _tell(error: Exception) -> None:
    """Print an error, which several processes may meet at once, as one of them."""
    text = f"swift: {error}"
    if _is_news(text):
        print(text, file=sys.stderr)


def _is_news(text: str) -> bool:
    """Whether no other process of the same start has told this; it is noted where a launcher made a folder for it."""
    import os
    import zlib

    if TOLD not in os.environ:
        return True
    start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    try:
        os.close(os.open(f"{os.environ[TOLD]}/{start}-{zlib.crc32(text.encode()):x}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    except OSError:  # better told twice than not at all
        return True
    return True


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
