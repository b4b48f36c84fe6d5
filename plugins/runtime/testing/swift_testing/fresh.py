"""A process in which nothing was trained: it opens saved tuners and tells their logits.

`python -m swift_testing.fresh` reads folders, a line each, and answers a line each: nothing, or what went
wrong. It starts warm; every folder is opened in a copy of the process as it stood after the imports.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from swift_testing import warm

LOGITS = "logits.pt"


def logits_in_a_fresh_process(folder: str) -> Any:
    """Logits, as `logits_of` computes them, of the checkpoint in `folder`; fails with the other process' words."""
    import torch

    process = _process()
    assert process.stdin and process.stdout
    process.stdin.write(f"{folder}\n")
    process.stdin.flush()
    complaint = process.stdout.readline().strip()
    assert not complaint, f"A fresh process cannot load what was saved: {complaint}"
    return torch.load(Path(folder, LOGITS))


@functools.cache
def _process() -> subprocess.Popen[str]:
    """Started when it is first needed; it ends with this process, whose end of the pipe it reads."""
    command = [warm.python(), "-m", __name__]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def main() -> None:
    """Answer until there is nothing more to read."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print is no answer
    for line in sys.stdin:
        read, write = os.pipe()
        if not os.fork():
            os.write(write, _open(line.strip()).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as said:
            print(said.read() or "", file=answers, flush=True)
        os.wait()


def _open(folder: str) -> str:
    """Write the logits beside the checkpoint; the error in one line, or nothing."""
    import torch

    from swift_testing.contracts_model import logits_of, open_checkpoint

    try:
        torch.save(logits_of(open_checkpoint(folder)[1]), Path(folder, LOGITS))
    except Exception as error:
        return repr(error)
    return ""


if __name__ == "__main__":
    main()
