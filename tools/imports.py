"""Hold every arrow between packages: `python tools/imports.py [ROOT]` checks the imports of the checkout at ROOT.

The contracts are written here as data and given to import-linter. The list of plugins is read from the folders, so
that a new plugin is held to them without being named anywhere.
"""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import tempfile
from pathlib import Path

KERNEL = "swift_core"
BASES = ("swift_plugin_runtime", "swift_plugin_serving", "swift_testing")
"""Distributions that plugins may build on."""

FLOORS = """
swift_core.__main__
swift_core.cli | swift_core.api
swift_core.jobs
swift_core.evaluation
swift_core.inference
swift_core.templates
swift_core.data
swift_core.job
swift_core.catalogue
swift_core.contract
"""
"""The rooms of the kernel and of the library above it, from the top floor down."""

SCRIPTS = "train infer evaluate export sample deploy options"
"""Modules of `swift_core.jobs` that belong to the jobs alone."""

HEAVY = "torch transformers peft trl accelerate datasets modelscope fastapi uvicorn openai pytest"
"""What a bare kernel neither needs nor imports."""


def plugins(root: Path) -> list[str]:
    """The import packages of all plugins but the bases, by the folders that hold them."""
    places = [p for g in ("plugins/*/*", "contrib_models/*") for p in root.glob(f"{g}/swift_plugin_*/__init__.py")]
    return sorted({p.parent.name for p in places} - set(BASES))


def contracts(names: list[str]) -> dict[str, dict[str, str]]:
    """Section of import-linter's file → its keys."""
    layers = [" | ".join(names), "swift_testing", "swift_plugin_runtime | swift_plugin_serving", KERNEL]
    return {
        "floors": {"name": "The kernel's rooms", "type": "layers", "layers": FLOORS},
        "light": _forbidden("The kernel is light", [KERNEL], HEAVY.split()),
        "layers": {
            "name": "Plugins, runtime, kernel; plugins know nothing of each other",
            "type": "layers",
            "layers": "\n" + "\n".join(layers),
        },
        "cycles": {
            "name": "No circle of imports, between rooms or between modules",
            "type": "acyclic_siblings",
            "ancestors": "\n" + "\n".join([KERNEL, *BASES]),
        },
        "scripts": _forbidden(
            "The scripts of jobs are imported by nobody",
            [*names, "swift_plugin_runtime", "swift_plugin_serving"],
            [f"{KERNEL}.jobs.{name}" for name in SCRIPTS.split()],
            allow_indirect_imports="True",
        ),
    }


def _forbidden(name: str, sources: list[str], forbidden: list[str], **more: str) -> dict[str, str]:
    lists = {"source_modules": "\n" + "\n".join(sources), "forbidden_modules": "\n" + "\n".join(forbidden)}
    return {"name": name, "type": "forbidden", **lists, **more}


def check(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the checkout at `root`; its output says which arrow breaks which contract."""
    names = plugins(root)
    config = configparser.ConfigParser()
    config["importlinter"] = {
        "root_packages": "\n" + "\n".join([KERNEL, *BASES, *names]),
        "include_external_packages": "True",
    }
    for section, keys in contracts(names).items():
        config[f"importlinter:contract:{section}"] = keys
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "contracts.ini")
        with file.open("w", encoding="utf-8") as stream:
            config.write(stream)
        beside = Path(sys.executable).with_name("lint-imports")
        command = [str(beside), "--config", str(file), "--no-cache"]
        return subprocess.run(command, cwd=root, env=_found_in(root), capture_output=True, text=True, check=False)


def _found_in(root: Path) -> dict[str, str]:
    """The environment in which the checkout's own packages are found before installed ones."""
    folders = [root, *(p.parent for p in root.glob("plugins/*/*/pyproject.toml"))]
    folders += [p.parent for p in root.glob("contrib_models/*/pyproject.toml")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}


def main() -> None:
    """Check, print what import-linter says, and end with its exit code."""
    done = check(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
    print(done.stdout + done.stderr)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
