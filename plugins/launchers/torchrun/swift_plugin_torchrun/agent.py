"""torchrun, ending in one line about the process that failed rather than in a traceback of its own."""

from __future__ import annotations

import sys


def main(words: list[str]) -> int:
    """Run torchrun with `words`; the exit code of the first process that failed, or 0."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    try:
        torchrun(words)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        print(f"Process {rank} failed first, with exit code {failure.exitcode}; all were ended.", file=sys.stderr)
        return failure.exitcode if failure.exitcode > 0 else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
