"""Deployment: the job's engine behind the job's server."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swift_core.contract.job import Job


def run(job: Job) -> None:
    """Take the port, start the engine, and serve until SIGINT or SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # until the server runs: unwind, and free what started
    with job.hook.open_server(job=job) as server:  # first: a port in use must not cost the loading of a model
        engine = job.hook.start_engine(job=job)
        try:
            server.serve(engine)
        finally:
            engine.close()
