"""An environment of its own for each peer: made once by uv, in the cache folder."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.measure import HERE
from swift_core.catalogue.metadata_cache import cache_folder


@dataclass(frozen=True)
class Peer:
    """installs: pip requirements. removes: what these bring that fails beside a torch without CUDA."""

    installs: tuple[str, ...]
    removes: tuple[str, ...] = ()


def _as_here(*names: str) -> tuple[str, ...]:
    """Requirements of the versions that this environment has, so that a ratio tells of code and not of releases."""
    return tuple(f"{name}=={version(name)}" for name in names)


PEERS = {
    "transformers": Peer(_as_here("transformers", "peft", "accelerate", "datasets")),
    "trl": Peer(_as_here("trl", "transformers", "peft", "accelerate", "datasets")),
    "ms-swift": Peer(("ms-swift==4.6.0", "msgspec")),  # its gkd and grpo import it, and it does not ask for it
    "llamafactory": Peer(("llamafactory==0.9.3", "pyarrow<20"), removes=("torchvision", "torchaudio")),
}


def interpreter(name: str) -> Path:
    """The Python of a peer's environment, with this environment's torch; makes it where it is not there."""
    peer = PEERS[name]
    folder = Path(cache_folder(), "benchmarks", peer.installs[0].replace("==", "-"))
    python, ready = folder / "bin" / "python", folder / ".ready"
    if not ready.is_file():
        print(f"making the environment of {name} in {folder}", file=sys.stderr, flush=True)
        _uv("venv", "--clear", "--python", sys.executable, str(folder))
        same = f"torch=={torch.__version__.partition('+')[0]}"
        _uv("pip", "install", "--compile-bytecode", "--python", str(python), same, *peer.installs)
        if peer.removes and not torch.cuda.is_available():
            _uv("pip", "uninstall", "--python", str(python), *peer.removes)
        ready.touch()
    return python


def _uv(*words: str) -> None:
    beside = Path(sys.executable).with_name("uv")
    subprocess.run([str(beside) if beside.is_file() else "uv", *words, "--quiet"], check=True, cwd=HERE)
