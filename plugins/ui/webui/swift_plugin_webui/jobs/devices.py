"""The GPUs of this machine, as the driver counts them: torch is not imported for it."""

from __future__ import annotations

import shutil
import subprocess


def gpus() -> list[tuple[str, str]]:
    """(number, name and memory) of each GPU; nothing where there is no NVIDIA driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=index,name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.split(", ") for line in done.stdout.strip().splitlines()]
    return [(row[0], f"{row[0]}: {row[1]}, {row[2]}") for row in rows if len(row) == 3]
