"""Build the wheel of every distribution: `python tools/wheels.py [--out dist] [FOLDER ...]`.

Each wheel carries the licence's text, a readme and the links of the kernel's `[project.urls]`. They are added here, to
a copy of the distribution, rather than kept in hundreds of folders.
"""

from __future__ import annotations

import argparse
import functools
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

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


def readme(project: dict[str, Any]) -> str:
    """The readme of a distribution, from its own metadata."""
    groups: dict[str, dict[str, str]] = project.get("entry-points", {})
    lines = [f"- {g.removeprefix('swift_core.')}: {', '.join(sorted(e))}" for g, e in groups.items()]
    shown = "\n".join(lines) or "- what other distributions build on"
    return README.format(name=project["name"], description=project["description"], components=shown)


@functools.cache
def urls(root: Path) -> dict[str, str]:
    """The project's links, which every wheel carries: `[project.urls]` of the kernel; empty where it has none."""
    parsed = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return dict(parsed["project"].get("urls", {}))


def absolute(text: str, repository: str) -> str:
    """A readme whose links and pictures are found from an index, too: `docs/x.md` becomes a page of the repository."""
    place = {"!": f"{repository}/raw/HEAD/", "": f"{repository}/blob/HEAD/"}
    return re.sub(r"(!?)(\[[^\]]*\]\()(?!\w+:|#|/)", lambda m: f"{m[1]}{m[2]}{place[m[1]]}", text)


def build(folder: Path, out: Path, root: Path = ROOT) -> Path:
    """The wheel of one distribution of `root`. Raises CalledProcessError with the builder's words where it fails."""
    text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    parsed = tomllib.loads(text)
    package = parsed["tool"]["uv"]["build-backend"]["module-name"]
    with tempfile.TemporaryDirectory() as work:
        copy = Path(work, folder.name)
        copy.mkdir()
        shutil.copytree(folder / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "LICENSE", copy)
        own = copy / parsed["project"].get("readme", "README.md")
        own.write_text(_readme_of(folder, parsed["project"], urls(root)), encoding="utf-8")
        added = _added(parsed["project"], urls(root))
        (copy / "pyproject.toml").write_text(text.replace("[project]\n", f"[project]\n{added}", 1), encoding="utf-8")
        made = Path(work, "wheel")
        command = [sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--out-dir", str(made), str(copy)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        (wheel,) = made.glob("*.whl")
        out.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(wheel, out / wheel.name))


def _readme_of(folder: Path, project: dict[str, Any], links: dict[str, str]) -> str:
    own = (folder / project["readme"]).read_text(encoding="utf-8") if "readme" in project else readme(project)
    return absolute(own, links["Repository"].rstrip("/")) if "Repository" in links else own


def _added(project: dict[str, Any], links: dict[str, str]) -> str:
    """Lines of `[project]` that a distribution need not write itself."""
    lines = ['license-files = ["LICENSE"]']
    lines += [] if "readme" in project else ['readme = "README.md"']
    if links and "urls" not in project:
        lines.append(f"urls = {{ {', '.join(f'{json.dumps(k)} = {json.dumps(v)}' for k, v in links.items())} }}")
    return "".join(f"{line}\n" for line in lines)


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
