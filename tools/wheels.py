"""Build the wheel of every distribution: `python tools/wheels.py [--out dist] [FOLDER ...]`.

Each wheel carries the licence's text and a readme. They are added here, to a copy of the distribution, rather than
kept in hundreds of folders.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = """# {name}

{description}

A plugin of swift-core, found by its entry points once it is installed:

```console
pip install {name}
```

It brings:

{components}
"""


def distributions(root: Path = ROOT) -> list[Path]:
    """The folders of all distributions of a repository, the kernel first."""
    files = [*root.glob("plugins/*/*/pyproject.toml"), *root.glob("contrib_models/*/pyproject.toml")]
    return [root, *sorted(f.parent for f in files), *sorted(f.parent for f in root.glob("*_catalog/pyproject.toml"))]


def readme(project: dict[str, object]) -> str:
    """The readme of a distribution, from its own metadata."""
    groups: dict[str, dict[str, str]] = project.get("entry-points", {})  # type: ignore[assignment]
    lines = [f"- {g.removeprefix('swift_core.')}: {', '.join(sorted(e))}" for g, e in groups.items()]
    shown = "\n".join(lines) or "- what other distributions build on"
    return README.format(name=project["name"], description=project["description"], components=shown)


def build(folder: Path, out: Path) -> Path:
    """The wheel of one distribution. Raises CalledProcessError with the builder's words where it fails."""
    text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    parsed = tomllib.loads(text)
    package = parsed["tool"]["uv"]["build-backend"]["module-name"]
    with tempfile.TemporaryDirectory() as work:
        copy = Path(work, folder.name)
        copy.mkdir()
        shutil.copytree(folder / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "LICENSE", copy)
        added = 'license-files = ["LICENSE"]\n'
        if "readme" in parsed["project"]:
            shutil.copy(folder / parsed["project"]["readme"], copy)
        else:
            (copy / "README.md").write_text(readme(parsed["project"]), encoding="utf-8")
            added += 'readme = "README.md"\n'
        (copy / "pyproject.toml").write_text(text.replace("[project]\n", f"[project]\n{added}", 1), encoding="utf-8")
        made = Path(work, "wheel")
        command = [sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--out-dir", str(made), str(copy)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        (wheel,) = made.glob("*.whl")
        out.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(wheel, out / wheel.name))


def main() -> None:
    """Build, two at a time, and say how many there are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("folders", type=Path, nargs="*")
    options = parser.parse_args()
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda f: build(f.resolve(), options.out), options.folders or distributions()))
    print(f"{len(made)} wheels are in {options.out}")


if __name__ == "__main__":
    main()
