"""Release the distributions: `python tools/release.py check`, then `changelog`, then `publish --index URL`.

`check` prints one line for each thing that must not be released. `changelog` moves the fragments of `changelog.d/`
into CHANGELOG.md. `publish` checks, builds every wheel and the bill, and uploads what is new. docs/releasing.md tells
the whole story.

Why not towncrier: it has one changelog and one folder of fragments per project, which is here one configuration and
one call for each of hundreds of distributions. A fragment's name is ISSUE.TYPE there; ours begins with a
distribution, because one folder for all is easier to read in a review. What remains is to join the files by name.
"""

from __future__ import annotations

import argparse
import datetime
import email
import functools
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from floors import git, mistakes
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from wheels import ROOT, build, distributions, urls

IN_EACH_WHEEL = {
    "the licence's text": r"[^/]+\.dist-info/licenses/LICENSE",
    "py.typed": r"[^/]+/py\.typed",
}
"""What each wheel must hold, and the pattern of its path there."""

BILL = """[build-system]
requires = ["uv_build>=0.9,<1"]
build-backend = "uv_build"

[project]
name = "swift-bill"
version = "{version}"
description = "swift-core and all its plugins, in versions that were tested together."
readme = "README.md"
requires-python = ">=3.11"
license = "Apache-2.0"
dependencies = {pins}

[tool.uv.build-backend]
module-root = ""
module-name = "swift_bill"
"""

BILL_README = """# swift-bill {version}

swift-core, all its plugins and the libraries that they need, each in the version that was tested. Install all of it:

```console
pip install swift-bill=={version}
```

The file `swift-bill-{version}.txt` of the release has these pins. It gives the tested version of what you choose:

```console
pip install -c swift-bill-{version}.txt swift-core swift-plugin-lora
```
"""


@dataclass(frozen=True)
class Distribution:
    """A distribution of this repository: its folder and what its pyproject.toml says."""

    root: Path
    folder: Path
    project: dict[str, Any]
    package: str

    @property
    def name(self) -> str:
        """Its name in an index."""
        return str(self.project["name"])

    @property
    def version(self) -> str:
        """Its version now."""
        return str(self.project["version"])

    def path(self, name: str) -> str:
        """Where a file of its folder is, from the repository's root."""
        return (self.folder / name).relative_to(self.root).as_posix()


def read(root: Path) -> list[Distribution]:
    """All distributions. Raises SystemExit where a pyproject.toml cannot be understood."""
    return [_distribution(root, folder) for folder in distributions(root)]


def _distribution(root: Path, folder: Path) -> Distribution:
    file = folder / "pyproject.toml"
    try:
        parsed = tomllib.loads(file.read_text(encoding="utf-8"))
        Version(parsed["project"]["version"])
        package = parsed["tool"]["uv"]["build-backend"]["module-name"]
        return Distribution(root, folder, parsed["project"], package)
    except KeyError as error:
        raise SystemExit(f"{file.relative_to(root)} lacks {error}") from error
    except (tomllib.TOMLDecodeError, InvalidVersion) as error:
        raise SystemExit(f"{file.relative_to(root)}: {error}") from error


# What changed since the last release


def tags(root: Path) -> list[str]:
    """The tags of the checkout's history, the newest first."""
    decorations = git(root, "log", "--simplify-by-decoration", "--decorate-refs=refs/tags/*", "--format=%D")
    return re.findall(r"tag: ([^,\n]+)", decorations)


def last_tag(name: str, newest_first: list[str]) -> str:
    """The last release of a distribution: `NAME-vX.Y.Z`, or `vYEAR.MONTH` of the whole repository; empty without."""
    own = re.compile(rf"(?:{re.escape(name)}-)?v\d[\w.]*")
    return next((tag for tag in newest_first if own.fullmatch(tag)), "")


@functools.cache
def changed_since(root: Path, tag: str) -> frozenset[str]:
    """Paths that differ from a tag, new files among them."""
    changed = git(root, "diff", "--name-only", "--no-renames", tag)
    return frozenset([*changed.splitlines(), *git(root, "ls-files", "--others", "--exclude-standard").splitlines()])


@functools.cache
def versions_at(root: Path, tag: str) -> dict[str, str]:
    """Distribution → version, as they were at a tag; empty without a tag."""
    lines = git(root, "grep", "-E", "^(name|version) = ", tag, "--", "*pyproject.toml") if tag else ""
    files: dict[str, dict[str, str]] = defaultdict(dict)
    for _, file, key, value in re.findall(r'^([^:]+):([^:]+):(name|version) = "([^"]*)"', lines, re.MULTILINE):
        files[file].setdefault(key, value)
    return {found["name"]: found["version"] for found in files.values() if len(found) == 2}


def differs(one: Distribution, tag: str) -> bool:
    """Whether a distribution's wheel would differ from the one at a tag: its package, its readme or its metadata."""
    changed = changed_since(one.root, tag)
    if any(file.startswith(one.path(one.package) + "/") for file in changed):
        return True
    if "readme" in one.project and one.path(one.project["readme"]) in changed:
        return True
    file = one.path("pyproject.toml")
    return file in changed and tomllib.loads(git(one.root, "show", f"{tag}:{file}")).get("project") != one.project


def unannounced(root: Path, all_of_them: list[Distribution]) -> Iterator[str]:
    """One line for each changed distribution whose version was not raised, or whose change no fragment tells."""
    known = tags(root)
    told = {file.name.split(".")[0] for file in fragments(root)} | _told_before(root)
    for one in all_of_them:
        tag = last_tag(one.name, known)
        before = versions_at(root, tag).get(one.name)
        if before is None or not differs(one, tag):
            continue
        if Version(one.version) <= Version(before):
            where = one.path("pyproject.toml")
            yield f"{one.name} changed since {tag}, where it was {before}: raise its version {one.version} in {where}"
        if not {one.name, f"{one.name} {one.version}"} & told:
            yield f"{one.name} changed since {tag}: say what, in changelog.d/{one.name}.CHANGE.md"


def _told_before(root: Path) -> set[str]:
    """`NAME VERSION` of each heading of CHANGELOG.md."""
    return set(re.findall(r"^### (\S+ \S+)$", _changelog(root).read_text(encoding="utf-8"), re.MULTILINE))


def _changelog(root: Path) -> Path:
    return root / "CHANGELOG.md"


def fragments(root: Path) -> list[Path]:
    """The changelog's fragments, by name."""
    return sorted(file for file in root.glob("changelog.d/*.md") if file.name != "README.md")


def strays(root: Path, all_of_them: list[Distribution]) -> Iterator[str]:
    """One line for each fragment that is empty or names no distribution."""
    names = {one.name for one in all_of_them}
    for file in fragments(root):
        if file.name.split(".")[0] not in names:
            yield f"changelog.d/{file.name}: no distribution is named {file.name.split('.')[0]}"
        elif not file.read_text(encoding="utf-8").strip():
            yield f"changelog.d/{file.name} is empty"


# What no two distributions may share


def claims(one: Distribution) -> Iterator[str]:
    """The names that a distribution takes: its own, its package's, and those of its entry points."""
    yield f"the distribution {canonicalize_name(one.name)}"
    yield f"the package {one.package}"
    groups = {**one.project.get("entry-points", {}), "console_scripts": one.project.get("scripts", {})}
    for group, names in groups.items():
        for name in names:
            yield f"the entry point {name} of {group}"


def taken_twice(all_of_them: list[Distribution]) -> Iterator[str]:
    """One line for each name that two distributions take."""
    owners: dict[str, list[str]] = defaultdict(list)
    for one in all_of_them:
        for claim in claims(one):
            owners[claim].append(one.path("pyproject.toml"))
    for claim, files in owners.items():
        if len(files) > 1:
            yield f"{claim} is in {' and in '.join(files)}: rename one"


# Wheels


def build_all(all_of_them: list[Distribution], out: Path) -> Iterator[str]:
    """Build the wheels into `out`, two at a time. One line for each that cannot be built."""
    with ThreadPoolExecutor(2) as pool:
        yield from filter(None, pool.map(lambda one: _build(one, out), all_of_them))


def _build(one: Distribution, out: Path) -> str:
    try:
        build(one.folder, out, one.root)
    except subprocess.CalledProcessError as error:
        return f"{one.name} cannot be built: {' '.join(error.stderr.split())}"
    except OSError as error:
        return f"{one.name} cannot be built: {error}"
    return ""


def lacking(wheel: Path, links: dict[str, str]) -> Iterator[str]:
    """One line for each thing that a wheel lacks; the project's links among them."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        said = email.message_from_bytes(archive.read(metadata))
    for what, pattern in IN_EACH_WHEEL.items():
        if not any(re.fullmatch(pattern, name) for name in names):
            yield f"{wheel.name} lacks {what}"
    if not str(said.get_payload()).strip():
        yield f"{wheel.name} lacks a readme"
    if links and not said.get_all("Project-URL"):
        yield f"{wheel.name} lacks links"


def irreproducible(one: Path, other: Path) -> Iterator[str]:
    """One line for each wheel of two folders whose bytes differ."""
    for wheel in sorted(one.glob("*.whl")):
        if (other / wheel.name).read_bytes() != wheel.read_bytes():
            yield f"{wheel.name} has other bytes when it is built again"


def twine(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run twine. Raises SystemExit where it is not installed; the make targets bring it."""
    command = [sys.executable, "-m", "twine", "--no-color", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No module named twine" in done.stderr:
        raise SystemExit("twine is not installed: use `make release-check` or `make release INDEX=URL`")
    return done


def invalid(wheels: Iterable[Path]) -> Iterator[str]:
    """One line for each complaint of `twine check --strict`."""
    done = twine("check", "--strict", *wheels)
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
        yield from (f"twine: {line}" for line in lines if line and not line.endswith("PASSED"))


def in_wheels(root: Path, all_of_them: list[Distribution], out: Path) -> Iterator[str]:
    """Build all wheels into `out`, and again elsewhere: one line for each fault of theirs."""
    os.environ.setdefault("SOURCE_DATE_EPOCH", git(root, "log", "-1", "--format=%ct").strip() or "315532800")
    unbuilt = list(build_all(all_of_them, out))
    if unbuilt:
        yield from unbuilt
        return
    with tempfile.TemporaryDirectory() as again:
        yield from build_all(all_of_them, Path(again))
        yield from irreproducible(out, Path(again))
    wheels = sorted(out.glob("*.whl"))
    for wheel in wheels:
        yield from lacking(wheel, urls(root))
    yield from invalid(wheels)


def faults(root: Path, out: Path) -> Iterator[str]:
    """One line for each thing that must not be released. The wheels are in `out` afterwards."""
    all_of_them = read(root)
    in_source = [
        *unannounced(root, all_of_them),
        *strays(root, all_of_them),
        *taken_twice(all_of_them),
        *mistakes(root),
    ]
    yield from in_source
    if any(line.startswith("the distribution ") for line in in_source):
        yield "no wheel was built, because two would have one name"
    else:
        yield from in_wheels(root, all_of_them, out)


# The bill


def pins(root: Path, all_of_them: list[Distribution]) -> tuple[list[str], list[str]]:
    """(exact pins of our distributions and of `constraints.txt`, those that are left out).

    Left out is what `override-dependencies` forces on two libraries that do not agree: pip knows no such thing and
    would refuse the whole set.
    """
    ours = [f"{one.name}=={one.version}" for one in all_of_them]
    theirs = (root / "constraints.txt").read_text(encoding="utf-8").split()
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    forced = {_name(line) for line in settings["tool"]["uv"].get("override-dependencies", [])}
    return [*ours, *(pin for pin in theirs if _name(pin) not in forced)], [p for p in theirs if _name(p) in forced]


def _name(requirement: str) -> str:
    return canonicalize_name(Requirement(requirement).name)


def required(pinned: list[str], all_of_them: list[Distribution]) -> list[str]:
    """The pins of our distributions and of all that they need, directly or through others, as it is installed here.

    The other pins are of what nobody requires: mostly tools for the work on this repository.
    Raises SystemExit where something that is needed is not installed.
    """
    ours = {canonicalize_name(one.name) for one in all_of_them}
    open_ones = [Requirement(line) for one in all_of_them for line in one.project.get("dependencies", [])]
    seen: set[tuple[str, frozenset[str]]] = set()
    while open_ones:
        need = open_ones.pop()
        key = (canonicalize_name(need.name), frozenset(need.extras))
        if key not in seen and key[0] not in ours:
            seen.add(key)
            open_ones += _needs(need)
    needed = ours | {name for name, _ in seen}
    return [pin for pin in pinned if _name(pin) in needed]


def _needs(need: Requirement) -> list[Requirement]:
    if need.marker and not need.marker.evaluate():
        return []
    try:
        found = [Requirement(line) for line in importlib.metadata.requires(need.name) or []]
    except importlib.metadata.PackageNotFoundError as error:
        raise SystemExit(f"{need.name} is not installed, and the bill must know what it needs: `make setup`") from error
    extras = [{"extra": extra} for extra in ("", *need.extras)]
    kept = [one for one in found if not one.marker or any(one.marker.evaluate(extra) for extra in extras)]
    for one in kept:
        one.marker = None
    return kept


def make_bill(root: Path, version: str, pinned: list[str], all_of_them: list[Distribution], out: Path) -> Path:
    """The wheel of `swift-bill`, which requires exact pins; beside it all pins, as a file for `pip install -c`."""
    with tempfile.TemporaryDirectory() as work:
        package = Path(work, "swift_bill")
        package.mkdir()
        (package / "__init__.py").write_text('"""Nothing: what counts is what this distribution requires."""\n')
        (package / "py.typed").touch()
        Path(work, "README.md").write_text(BILL_README.format(version=version), encoding="utf-8")
        text = BILL.format(version=version, pins=json.dumps(required(pinned, all_of_them), indent=4))
        Path(work, "pyproject.toml").write_text(text, encoding="utf-8")
        wheel = build(Path(work), out, root)
    (out / f"swift-bill-{version}.txt").write_text("\n".join([*pinned, ""]), encoding="utf-8")
    return wheel


# The changelog


def write_changelog(root: Path, version: str) -> int:
    """Move all fragments into CHANGELOG.md, below the release's heading; how many they were.

    Raises SystemExit where a fragment names no distribution, or CHANGELOG.md has that release already.
    """
    all_of_them, found = read(root), fragments(root)
    wrong = list(strays(root, all_of_them))
    text = _changelog(root).read_text(encoding="utf-8")
    if f"\n## {version}\n" in text:
        wrong.append(f"CHANGELOG.md tells of {version} already: name another, as in `make changelog BILL={version}.1`")
    if wrong:
        raise SystemExit("\n".join(wrong))
    head, mark, releases = text.partition("\n## ")
    section = "\n".join([f"\n## {version}\n", *_sections(root, all_of_them, found)])
    _changelog(root).write_text(f"{head}{section}{mark}{releases}", encoding="utf-8")
    for file in found:
        file.unlink()
    return len(found)


def _sections(root: Path, all_of_them: list[Distribution], found: list[Path]) -> Iterator[str]:
    known = tags(root)
    for one in all_of_them:
        lines = [_bullet(file) for file in found if file.name.split(".")[0] == one.name]
        tag = last_tag(one.name, known)
        if tag and one.name not in versions_at(root, tag):
            lines.insert(0, f"- New: {one.project['description']}")
        if lines:
            yield "\n".join([f"### {one.name} {one.version}\n", *lines, ""])


def _bullet(fragment: Path) -> str:
    return "- " + fragment.read_text(encoding="utf-8").strip().replace("\n", "\n  ")


# Upload


def to_upload(root: Path, all_of_them: list[Distribution], out: Path) -> list[Path]:
    """The wheels of `out` whose version is not the one of the last release."""
    known = tags(root)
    new = [one for one in all_of_them if versions_at(root, last_tag(one.name, known)).get(one.name) != one.version]
    stems = {f"{canonicalize_name(one.name).replace('-', '_')}-{Version(one.version)}-" for one in new}
    return [wheel for wheel in sorted(out.glob("*.whl")) if any(wheel.name.startswith(stem) for stem in stems)]


def unready(root: Path, version: str) -> Iterator[str]:
    """One line for each thing to do before a release is published."""
    if git(root, "status", "--porcelain"):
        yield "there are changes without a commit: a release is made from a commit"
    if fragments(root):
        yield "changelog.d has fragments: run `make changelog` and commit"
    if f"v{version}" in tags(root):
        yield f"v{version} is released: name another, as in `make release BILL={version}.1`"


UNLINKED = "pyproject.toml has no Repository in [project.urls]: wheels have no links, and those of readmes lead nowhere"


def publish(root: Path, index: str, version: str) -> None:
    """Check, build into `dist/VERSION`, and upload. Raises SystemExit with what is wrong."""
    if not index:
        raise SystemExit("name the index to upload to: `make release INDEX=URL`")
    out = root / "dist" / version
    shutil.rmtree(out, ignore_errors=True)
    _stop_at([*unready(root, version)])
    _stop_at([*faults(root, out)])
    all_of_them = read(root)
    pinned, left_out = pins(root, all_of_them)
    wheels = to_upload(root, all_of_them, out)
    bill = make_bill(root, version, pinned, all_of_them, out)
    _stop_at([*lacking(bill, urls(root)), *invalid([bill])])
    print(f"swift-bill {version} does not pin {', '.join(left_out) or 'nothing'}")
    if "Repository" not in urls(root):
        print(UNLINKED)
    done = twine("upload", "--non-interactive", "--disable-progress-bar", "--repository-url", index, *wheels, bill)
    if done.returncode:
        raise SystemExit(f"twine could not upload: {(done.stdout + done.stderr).strip()}")
    print(f"{len(wheels) + 1} wheels are on {index}; now run `git tag v{version}` and `git push origin v{version}`")


def _stop_at(lines: list[str]) -> None:
    if lines:
        raise SystemExit("\n".join([*lines, f"{len(lines)} things to mend before a release"]))


def check(root: Path) -> None:
    """Print what must not be released, and which part could not be looked at. Raises SystemExit where there is any."""
    if not any(last_tag(one.name, tags(root)) for one in read(root)):
        print("no release has a tag: what changed since then is unknown; the rest is checked")
    if "Repository" not in urls(root):
        print(UNLINKED)
    with tempfile.TemporaryDirectory() as out:
        _stop_at([*faults(root, Path(out))])
        print(f"{len(list(Path(out).glob('*.whl')))} wheels can be released")


def main() -> None:
    """Do one step of a release."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["check", "changelog", "publish"])
    parser.add_argument("--index", default="", help="publish: where to upload, the URL that twine takes")
    today = datetime.date.today()
    parser.add_argument("--bill", default="", help="the release's version, where this month has one already")
    options = parser.parse_args()
    version = str(Version(options.bill or f"{today.year}.{today.month}"))
    if options.step == "check":
        check(ROOT)
    elif options.step == "changelog":
        print(f"{write_changelog(ROOT, version)} fragments are in CHANGELOG.md")
    else:
        publish(ROOT, options.index, version)


if __name__ == "__main__":
    main()
