"""`swift doctor --report`: what a bug report says of a machine. It holds no path, no host name, no variable's value."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata

from swift_core.catalogue.entries import Entry, ships_in

LIBRARIES = (
    "swift-core", "torch", "transformers", "peft", "accelerate", "trl", "datasets", "modelscope", "safetensors",
    "tokenizers", "numpy", "pluggy", "pydantic", "deepspeed", "bitsandbytes", "vllm", "flash-attn", "liger-kernel",
)  # fmt: skip
"""Packages whose versions decide how a job runs."""

SPOKEN_OF = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "HF_ENDPOINT", "HF_HUB_OFFLINE", "WORLD_SIZE", "LOCAL_RANK")
"""Variables of which the report says whether they are set."""

DEVICES = """
import json, torch
cuda = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
print(json.dumps({
    "build": torch.version.cuda or torch.version.hip or "CPU",
    "gpus": [f"{one.name}, {one.total_memory / 2**30:.0f} GiB" for one in cuda],
    "mps": torch.backends.mps.is_available(),
    "threads": torch.get_num_threads(),
    "capability": torch.backends.cpu.get_cpu_capability(),
}))
"""
"""Asked of another process: torch takes seconds to import, and may be what is broken."""

PATIENCE = 120
"""Seconds that torch may take to start."""


def report(entries: list[Entry], faults: list[str]) -> str:
    """The report as Markdown."""
    found = {entry.package: entry.version for entry in entries}
    own = {entry.package for entry in entries if ships_in(entry.kind, entry.name) == entry.package}
    others = [f"{name} {version}" for name, version in sorted(found.items()) if name not in own]
    ours = {name: version for name, version in found.items() if name in own}
    return "\n\n".join(
        [
            _section("Machine", machine()),
            _section("Devices", devices()),
            _section("Libraries", libraries()),
            _section("Variables that are set", [name for name in SPOKEN_OF if name in os.environ] or ["none of note"]),
            _section(f"{len(ours)} distributions of swift-core with components", _by_version(ours)),
            _section("Plugins of others", others or ["none"]),
            _section("Faults", faults or ["none"]),
        ]
    )


def _section(title: str, lines: Iterable[str]) -> str:
    return "\n".join([f"### {title}", *(f"- {line}" for line in lines)])


def machine() -> list[str]:
    """System, Python, processors, memory."""
    memory = ""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = f", {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"
    return [
        platform.platform(),
        f"{platform.python_implementation()} {platform.python_version()}",
        f"{os.cpu_count()} processors ({platform.machine()}){memory}",
    ]


def devices() -> list[str]:
    """What torch finds, or why it cannot be asked."""
    try:
        done = subprocess.run([sys.executable, "-c", DEVICES], capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return [f"torch did not start within {PATIENCE} s"]
    if done.returncode:
        return ["torch cannot be asked: " + (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    gpus = found["gpus"] or (["Apple MPS"] if found["mps"] else ["no GPU"])
    return [*gpus, f"torch built for {found['build']}, {found['threads']} threads, {found['capability']}"]


def libraries() -> list[str]:
    """Name and version of each of `LIBRARIES`; those that are absent in one line."""
    found = {name: _version(name) for name in LIBRARIES}
    absent = [name for name, version in found.items() if version is None]
    lines = [f"{name} {version}" for name, version in found.items() if version]
    return [*lines, *([f"absent: {', '.join(absent)}"] if absent else [])]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _by_version(ours: dict[str, str]) -> list[str]:
    """A line for each version; where most have the same, the names of the many are left out."""
    groups: dict[str, list[str]] = {}
    for name, version in sorted(ours.items()):
        groups.setdefault(version, []).append(name)
    shown = {
        version: ", ".join(names) if len(names) <= 20 else f"{len(names)} of them" for version, names in groups.items()
    }
    return [f"{version}: {names}" for version, names in shown.items()]
