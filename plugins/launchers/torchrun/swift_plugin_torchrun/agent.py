"""torchrun, ending in one line about the process that failed rather than in a traceback of its own."""

from __future__ import annotations

import functools
import os
import signal
import sys

LAST_WAIT = 30.0
"""Seconds that a machine waits for the others when its processes have ended. torchrun's own 300 look like a hang where
another machine has failed, and nothing is lost by leaving: the processes have met for the last time before."""


OWN_STORE = ("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
"""Processes that start anew meet in a store of their own: in torchrun's, gloo finds the addresses of the dead."""


def main(words: list[str]) -> int:
    """Run torchrun with `words`; the exit code of the first process that failed, 128 + N for signal N, or 0."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher import api
    from torch.distributed.run import main as torchrun

    api.LocalElasticAgent = functools.partial(api.LocalElasticAgent, exit_barrier_timeout=LAST_WAIT)
    os.environ.setdefault(*OWN_STORE)
    try:
        torchrun(words)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = failure.exitcode
        how = f"with exit code {code}" if code >= 0 else f"by signal {signal.Signals(-code).name}"
        print(f"Process {rank} failed first, {how}; all were ended.", file=sys.stderr)
        return code if code >= 0 else 128 - code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
