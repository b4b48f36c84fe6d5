"""Measurements, none of them a test: see README.md."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Before torch is imported: a process that is copied (fork) hangs where OpenMP's pool of threads is not copied with it.
