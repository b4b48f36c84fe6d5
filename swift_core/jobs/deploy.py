"""Deployment: the job's engine behind OpenAI's interface."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from swift_core.engine import sampling

if TYPE_CHECKING:
    from swift_core.job import Job


def run(job: Job) -> None:
    """Take the port, start the engine, and serve until SIGINT or SIGTERM."""
    from swift_core.server import bind, serve

    options = job.options
    listener = bind(options.host, options.port)  # a port in use must not cost the loading of a model
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # until the server runs: unwind, and free what started
    with listener:
        engine = job.hook.start_engine(job=job)
        try:
            serve(
                engine,
                api_key=options.api_key,
                max_batch_size=options.max_batch_size,
                defaults=sampling(options),
                listener=listener,
            )
        finally:
            engine.close()
