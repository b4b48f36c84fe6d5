"""torchrun, ending in one line about the process that failed rather than in a traceback of its own."""

from __future__ import annotations

import functools
import os
import signal
import sys
import tempfile
from types import FrameType

from swift_core.cli import TOLD

LAST_WAIT = 30.0
"""Seconds that a machine waits for the others when its processes have ended. torchrun's own 300 look like a hang where
another machine has failed, and nothing is lost by leaving: the processes have met for the last time before."""


OWN_STORE = ("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
"""Processes that start anew meet in a store of their own: in torchrun's, gloo finds the addresses of the dead."""


WARNING = "SIGUSR1"
"""What schedulers send some time before they end a job, as Slurm's `--signal=USR1@120`."""


def main(words: list[str]) -> int:
    """Run torchrun with `words`; the exit code of the first process that failed, 128 + N for signal N, or 0."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher import api
    from torch.distributed.run import main as torchrun

    api.LocalElasticAgent = functools.partial(api.LocalElasticAgent, exit_barrier_timeout=LAST_WAIT)
    os.environ.setdefault(*OWN_STORE)
    if hasattr(signal, WARNING):
        signal.signal(getattr(signal, WARNING), _pass_on)
    try:
        with tempfile.TemporaryDirectory(prefix="swift-told-") as folder:
            os.environ[TOLD] = folder
            torchrun(words)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = failure.exitcode
        how = f"with exit code {code}" if code >= 0 else f"by signal {signal.Signals(-code).name}"
        print(f"Process {rank} failed first, {how}; all were ended.", file=sys.stderr)
        return code if code >= 0 else 128 - code
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


def _pass_on(number: int, frame: FrameType | None) -> None:
    """Tell the processes of a warning, wait until they have saved and ended, and end without starting them anew.

    torchrun's own way would end them after 30 seconds, which a step and a checkpoint may take longer than.
    """
    import psutil
    from torch.distributed.elastic.multiprocessing.api import SignalException

    processes = psutil.Process().children()
    for process in processes:
        process.send_signal(number)
    psutil.wait_procs(processes)
    raise SignalException("warned by the scheduler", signal.Signals(number))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
