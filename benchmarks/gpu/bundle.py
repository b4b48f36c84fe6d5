"""What a machine with a GPU and no network needs to run this checkout: `make gpu-bundle`.

The machine has torch, transformers and accelerate with all that these ask for. A bundle is a folder with the wheels of
everything else, those of our own distributions among them, and this checkout; `gpu-bundle.tar` holds it as one file.
On the machine: `tar xf gpu-bundle.tar && python3 gpu-bundle/checkout/benchmarks/gpu/run.py`.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Container
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from tools.wheels import build, distributions

ROOT = Path(__file__).parents[2]

MACHINE = ("torch=={torch}", "transformers=={transformers}", "accelerate")
"""What the machine has; with what these ask for."""

OURS = ("swift-testing", "swift-plugin-bnb", "swift-plugin-liger")
"""Distributions of ours that the script uses; with what these ask for (the essentials among it)."""

TOOLS = ("liger-kernel", "hypothesis", "pytest")
"""Others that the script or the tests use."""

ALWAYS = ("pydantic",)
"""Carried, with what they ask for, also where transformers asks for them: a machine was seen without them."""

LEFT_OUT = {
    "modelscope": "a hub, and there is no network",
    "matplotlib": "draws the curves of a run alone",
    "datasets": "a hub again",
    "sacrebleu": "a metric of evaluations",
    "openai": "a client of servers",
}
"""What our distributions ask for and the script does without; what only these ask for stays out as well. The wheels
of the bundle do not ask for them."""

TRIMMED = {
    "bitsandbytes": ("_rocm", "_xpu", "_cuda11", "_cuda12", "_cuda132"),
    "pyarrow": (
        *("/include/", "/tests/", "libarrow_flight", "libarrow_s3", "_flight.", "_s3fs.", "_encryption."),
        *("libarrow_python_", "libarrow_python.so.2600.1", ".pxi", ".pyx"),
    ),
}
"""Wheels that are too large → marks in the names of files that the script does without: other machines' kernels,
headers and sources, tests, clients of services, the second name of a library."""

LIMIT = 60 * 10**6
"""Bytes that all wheels may have."""

PLATFORMS = [f"manylinux_2_{n}_x86_64" for n in range(39, 4, -1)] + [
    f"manylinux{n}_x86_64" for n in ("2014", "2010", "1")
]


def needs(names: tuple[str, ...], root: Path = ROOT) -> tuple[list[Path], list[str]]:
    """(folders of our distributions, requirements of others) that `names` ask for, directly or through ours."""
    known = {}
    for folder in distributions(root):
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        known[project["name"]] = folder, project["dependencies"]
    seen: dict[str, Path] = {}
    others: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen[name], asked = known[name]
        for line in asked:
            ours = canonicalize_name(Requirement(line).name) in known
            waiting.append(Requirement(line).name) if ours else others.add(line)
    return list(seen.values()), sorted(others)


def resolved(requirements: list[str], python: str) -> dict[str, str]:
    """Name → version of all that `requirements` ask for on Linux. Raises SystemExit where they cannot meet.

    Wheels that this machine has by itself are not asked: among them may be torch for a CPU, which does without Triton.
    """
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--only-binary"),
        *(":all:", "--python-version", python, "--python-platform", "x86_64-manylinux_2_39", "-"),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "UV_FIND_LINKS"}
    done = subprocess.run(command, input="\n".join(requirements), capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"The requirements of the bundle cannot be met together:\n{done.stderr}")
    pairs = (line.split(" ;")[0].split("==") for line in done.stdout.splitlines() if "==" in line)
    return {canonicalize_name(name): version.strip() for name, version in pairs}


def lacking(others: list[str], has: list[str], python: str, versions: dict[str, str]) -> dict[str, str]:
    """What the machine lacks of `others` and the tools: name → version. has: more that is there."""
    machine = [line.format(**versions) for line in MACHINE]
    wanted = [line for line in others if canonicalize_name(Requirement(line).name) not in {*LEFT_OUT, *has}]
    there = {*resolved(machine, python), *has} - {*resolved([*ALWAYS], python)}
    return {n: v for n, v in resolved([*machine, *wanted, *TOOLS], python).items() if n not in there}


def download(wanted: dict[str, str], python: str, folder: Path) -> None:
    """The wheels of `wanted` for Linux, in `folder`."""
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    pins = [f"{name}=={version}" for name, version in wanted.items()]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    place = ["--implementation", "cp", "--python-version", python, *platforms, "--dest", str(folder)]
    subprocess.run([*command, *place, *pins], check=True)


def trim(wheel: Path, marks: tuple[str, ...], without: Container[str] = ()) -> None:
    """Take the files with a mark in their name out of a wheel, and out of its list of files.

    without: names of requirements that its metadata no longer asks for: what asks for a package that is not there is
    refused when it is used.
    """
    kept = io.BytesIO()
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            if not _marked(entry.filename, marks):
                new.writestr(entry, _rewritten(entry.filename, old.read(entry), marks, without))
    wheel.write_bytes(kept.getvalue())


def _marked(name: str, marks: tuple[str, ...]) -> bool:
    return any(mark in f"/{name}" for mark in marks)


def _rewritten(name: str, content: bytes, marks: tuple[str, ...], without: Container[str]) -> bytes:
    if not name.endswith((".dist-info/RECORD", ".dist-info/METADATA")):
        return content
    lines = content.decode().splitlines(keepends=True)
    if name.endswith("RECORD"):
        return "".join(line for line in lines if not _marked(line.split(",")[0], marks)).encode()
    return "".join(line for line in lines if _asked(line) not in without).encode()


def _asked(line: str) -> str | None:
    field, _, value = line.partition(": ")
    return canonicalize_name(Requirement(value.strip()).name) if field == "Requires-Dist" else None


def collect(folder: Path, python: str, has: list[str], versions: dict[str, str]) -> list[Path]:
    """Write all wheels into `folder`; returns them. Raises SystemExit where they are larger than `LIMIT`."""
    ours, others = needs(OURS)
    download(lacking(others, has, python, versions), python, folder)
    for place in ours:
        build(place, folder)
    wheels = sorted(folder.glob("*.whl"))
    for wheel in wheels:
        name = parse_wheel_filename(wheel.name)[0]
        if name in TRIMMED or name.startswith("swift-"):
            trim(wheel, TRIMMED.get(name, ()), LEFT_OUT)
    size = sum(wheel.stat().st_size for wheel in wheels)
    if size > LIMIT:
        raise SystemExit(f"The wheels take {size / 1e6:.1f} MB of {LIMIT / 1e6:.0f}; name what the machine has (HAS).")
    return wheels


def checkout(folder: Path) -> None:
    """The files of HEAD in `folder`; what is not committed is told of and left out."""
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, check=True, capture_output=True, text=True)
    if changed.stdout:
        print(f"not committed, and left out:\n{changed.stdout}", end="", file=sys.stderr)
    packed = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as files:
        files.extractall(folder, filter="data")


def main() -> None:
    """Write the bundle and say what it weighs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "output" / "gpu-bundle")
    parser.add_argument("--python", default="3.12", help="the machine's Python")
    parser.add_argument("--torch", default="2.11.0", help="the machine's torch")
    parser.add_argument("--transformers", default="5.17.0", help="the machine's transformers")
    parser.add_argument("--has", nargs="*", default=[], help="more that the machine has: pyarrow pillow …")
    asked = parser.parse_args()
    shutil.rmtree(asked.out, ignore_errors=True)
    (asked.out / "wheels").mkdir(parents=True)
    wheels = collect(asked.out / "wheels", asked.python, asked.has, vars(asked))
    checkout(asked.out / "checkout")
    packed = asked.out.with_suffix(".tar")
    with tarfile.open(packed, "w") as file:
        file.add(asked.out, "gpu-bundle")
    size = sum(wheel.stat().st_size for wheel in wheels) / 1e6
    print(f"{packed}: {len(wheels)} wheels of {size:.1f} MB, and the checkout; {packed.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
