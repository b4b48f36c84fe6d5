"""A release: what must not leave is told in one line each; the bill, the changelog, an index on 127.0.0.1."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from fresh_venv import Venv, run, uv
from swift_testing.contracts import CHAT, tiny_model, write_rows
from test_third_party import needed_by
from tools_of import ROOT, tool

KERNEL = """[build-system]
requires = ["uv_build>=0.9,<1"]
build-backend = "uv_build"

[project]
name = "swift-core"
version = "1.0"
description = "A kernel."
readme = "README.md"
requires-python = ">=3.11"
license = "Apache-2.0"
dependencies = ["packaging>=24", "httpx>=0.27"]

[project.urls]
Repository = "https://git.example.org/us/house"

[tool.uv]
override-dependencies = ["pillow>=10"]

[tool.uv.build-backend]
module-root = ""
module-name = "swift_core"

[dependency-groups]
dev = ["ruff>=0.9", "packaging>=24"]
"""

PLUGIN = """[build-system]
requires = ["uv_build>=0.9,<1"]
build-backend = "uv_build"

[project]
name = "swift-plugin-{name}"
version = "0.1"
description = "The plugin {name}."
requires-python = ">=3.11"
license = "Apache-2.0"
dependencies = ["swift-core>=1.0"]

[project.entry-points."swift_core.tuners"]
{name} = "swift_plugin_{name}:Tuner"

[tool.uv.build-backend]
module-root = ""
module-name = "swift_plugin_{name}"
"""

LINKS = {"Repository": "https://git.example.org/us/house"}

IN_FULL = pytest.mark.skipif("SWIFT_TEST_RELEASE" not in os.environ, reason="needs twine and pypiserver: test-release")


@pytest.fixture(scope="module")
def release() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tools")  # it imports its neighbours
        yield tool("release")


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words], cwd=root, check=True)


def git_says(*words: str) -> str:
    """What git prints about this checkout; empty where it fails."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return "" if done.returncode else done.stdout.strip()


def build_wheels(out: Path, root: Path) -> Path:
    """Wheels of what a user of Qwen2-VL installs, from a checkout."""
    for folder in needed_by("swift-plugin-qwen2vl", "swift-testing"):
        uv("build", "-q", "--wheel", "--no-create-gitignore", "-o", str(out), str(root / folder.relative_to(ROOT)))
    return out


def commit(root: Path, message: str = "a change") -> None:
    git(root, "add", "-A")
    git(root, "commit", "-qm", message)


def write(root: Path, path: str, text: str) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def plugin(root: Path, name: str) -> Path:
    folder = root / "plugins" / "tuners" / name
    write(folder, "pyproject.toml", PLUGIN.format(name=name))
    write(folder, f"swift_plugin_{name}/__init__.py", "class Tuner: ...\n")
    write(folder, f"swift_plugin_{name}/py.typed", "")
    return folder


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kernel and two plugins, released as v2026.1."""
    root = tmp_path_factory.mktemp("house")
    write(root, "pyproject.toml", KERNEL)
    write(
        root,
        "README.md",
        "# A kernel\n\n![Job](docs/job.svg) [pages](docs/a.md#b) [us](https://example.org) [up](#a)\n",
    )
    write(root, "swift_core/__init__.py", "x = 1\n")
    write(root, "swift_core/py.typed", "")
    write(root, "constraints.txt", "packaging==26.3\npillow==13.0.0\nruff==0.17.6\nh11==0.16.0\n")
    write(root, "CHANGELOG.md", "# Changelog\n\nMade from fragments.\n\n## 0.1.0\n\nFirst release.\n")
    write(root, "changelog.d/README.md", "One file per change.\n")
    for name in ("one", "two"):
        plugin(root, name)
    git(root, "init", "-q", "-b", "main")
    commit(root, "first")
    git(root, "tag", "v2026.1")
    return root


@pytest.fixture
def house(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "house"))


def in_source(release: ModuleType, root: Path) -> list[str]:
    release.changed_since.cache_clear()  # a release reads the checkout once, a test changes it
    all_of_them = release.read(root)
    parts = (release.unannounced(root, all_of_them), release.strays(root, all_of_them))
    return [*parts[0], *parts[1], *release.taken_twice(all_of_them)]


ONE = "plugins/tuners/one"
CODE = f"{ONE}/swift_plugin_one/__init__.py"
METADATA = f"{ONE}/pyproject.toml"
FRAGMENT = "changelog.d/swift-plugin-one.faster.md"


def test_nothing_changed_nothing_said(release: ModuleType, house: Path) -> None:
    write(house, f"{ONE}/tests/test_one.py", "x = 1\n")  # is in no wheel
    replace(house / "pyproject.toml", "ruff>=0.9", "ruff>=0.10")  # is in no metadata
    assert in_source(release, house) == []


@pytest.mark.parametrize("committed", [True, False])
def test_a_change_needs_a_version_and_a_fragment(release: ModuleType, house: Path, committed: bool) -> None:
    write(house, CODE, "class Tuner:\n    faster = True\n")
    if committed:
        commit(house)
    raise_it, tell = in_source(release, house)
    assert raise_it.startswith("swift-plugin-one changed since v2026.1, where it was 0.1: raise its version 0.1 in")
    assert tell == "swift-plugin-one changed since v2026.1: say what, in changelog.d/swift-plugin-one.CHANGE.md"


@pytest.mark.parametrize(
    ("version", "fragment", "complaint"),
    [
        ("0.2", "It is faster.\n", ""),
        ("0.2", None, "say what"),
        ("0.0.9", "It is faster.\n", "raise its version 0.0.9"),
        ("0.2", "\n", "is empty"),
    ],
)
def test_versions_rise_and_fragments_tell(
    release: ModuleType, house: Path, version: str, fragment: str | None, complaint: str
) -> None:
    replace(house / METADATA, 'version = "0.1"', f'version = "{version}"')
    if fragment is not None:
        write(house, FRAGMENT, fragment)
    found = in_source(release, house)
    assert [complaint in line for line in found] == ([True] if complaint else [])


def test_a_new_file_without_a_commit_is_a_change(release: ModuleType, house: Path) -> None:
    write(house, f"{ONE}/swift_plugin_one/more.py", "x = 1\n")
    assert len(in_source(release, house)) == 2


def test_a_tag_of_its_own_counts_where_it_is_newer(release: ModuleType, house: Path) -> None:
    write(house, CODE, "class Tuner:\n    faster = True\n")
    replace(house / METADATA, 'version = "0.1"', 'version = "0.2"')
    commit(house)
    git(house, "tag", "swift-plugin-one-v0.2")
    assert in_source(release, house) == []
    write(house, CODE, "class Tuner:\n    faster = False\n")
    assert "changed since swift-plugin-one-v0.2, where it was 0.2" in in_source(release, house)[0]


def test_without_a_tag_the_rest_is_checked(
    release: ModuleType, house: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    git(house, "tag", "-d", "v2026.1")
    write(house, CODE, "class Tuner:\n    faster = True\n")
    write(house, "changelog.d/swift-plugin-none.x.md", "Text.\n")
    monkeypatch.setattr(release, "in_wheels", lambda *_: iter(()))  # other tests build
    with pytest.raises(SystemExit, match="no distribution is named swift-plugin-none\n1 things to mend"):
        release.check(house)
    assert "no release has a tag" in capsys.readouterr().out


def test_a_house_without_an_address_is_told(
    release: ModuleType, house: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(house / "pyproject.toml", "Repository", "Documentation")
    commit(house)
    git(house, "tag", "v2026.2")
    monkeypatch.setattr(release, "in_wheels", lambda *_: iter(()))  # other tests build
    release.changed_since.cache_clear()
    release.check(house)
    assert capsys.readouterr().out == f"{release.UNLINKED}\n0 wheels can be released\n"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('name = "swift-plugin-one"', 'name = "Swift_Plugin.two"', "the distribution swift-plugin-two is in"),
        ('module-name = "swift_plugin_one"', 'module-name = "swift_plugin_two"', "the package swift_plugin_two is in"),
        ('one = "swift', 'two = "swift', "the entry point two of swift_core.tuners is in"),
    ],
)
def test_names_are_unique(release: ModuleType, house: Path, old: str, new: str, complaint: str) -> None:
    replace(house / METADATA, old, new)
    (line,) = release.taken_twice(release.read(house))
    assert complaint in line and "plugins/tuners/one/pyproject.toml and in plugins/tuners/two/pyproject.toml" in line


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('version = "0.1"', 'version = "first"', "Invalid version"),
        ('version = "0.1"\n', "", "lacks 'version'"),
        ('version = "0.1"', "version = 0.1.2", "pyproject.toml:"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    release: ModuleType, house: Path, old: str, new: str, complaint: str
) -> None:
    replace(house / METADATA, old, new)
    with pytest.raises(SystemExit, match=complaint) as told:
        release.read(house)
    assert str(told.value).startswith(METADATA)


@pytest.fixture(scope="module")
def wheels(release: ModuleType, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three wheels of the house; building them twice must give the same bytes."""
    one, other = (tmp_path_factory.mktemp(name) for name in ("one", "other"))
    for out in (one, other):
        assert list(release.build_all(release.read(template), out)) == []
    assert list(release.irreproducible(one, other)) == []
    return Path(one)


def test_wheels_have_licence_readme_and_types(release: ModuleType, wheels: Path, tmp_path: Path) -> None:
    files = sorted(wheels.glob("*.whl"))
    assert [file.name.split("-")[0] for file in files] == ["swift_core", "swift_plugin_one", "swift_plugin_two"]
    assert [line for file in files for line in release.lacking(file, LINKS)] == []
    bare = tmp_path / files[1].name
    with zipfile.ZipFile(files[1]) as full, zipfile.ZipFile(bare, "w") as less:
        for name in full.namelist():
            if name.endswith("METADATA"):
                head = full.read(name).partition(b"\n\n")[0]
                less.writestr(name, re.sub(rb"Project-URL.*\n", b"", head) + b"\n\n")
            elif not name.endswith(("LICENSE", "py.typed")):
                less.writestr(name, full.read(name))
    told = [line.removeprefix(f"{bare.name} lacks ") for line in release.lacking(bare, LINKS)]
    assert told == ["the licence's text", "py.typed", "a readme", "links"]
    (line,) = release.irreproducible(tmp_path, wheels)
    assert line == f"{bare.name} has other bytes when it is built again"


def test_links_are_found_from_an_index(release: ModuleType, wheels: Path) -> None:
    """Every wheel has the kernel's links, and those of a readme lead to the repository."""
    shown = {wheel.name.split("-")[0]: metadata_of(wheel) for wheel in wheels.glob("*.whl")}
    place = LINKS["Repository"]
    assert all(f"Project-URL: Repository, {place}\n" in text for text in shown.values())
    inside = f"![Job]({place}/raw/HEAD/docs/job.svg) [pages]({place}/blob/HEAD/docs/a.md#b)"
    assert shown["swift_core"].endswith(f"# A kernel\n\n{inside} [us](https://example.org) [up](#a)\n")


def metadata_of(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return archive.read(name).decode()


def test_what_cannot_be_built_is_named(release: ModuleType, house: Path, tmp_path: Path) -> None:
    replace(house / METADATA, 'license = "Apache-2.0"', 'license = "None of them"')
    one = next(d for d in release.read(house) if d.name == "swift-plugin-one")
    (line,) = release.build_all([one], tmp_path)
    assert line.startswith("swift-plugin-one cannot be built: ") and "\n" not in line


def test_the_bill_pins_what_can_be_installed_together(release: ModuleType, house: Path, tmp_path: Path) -> None:
    all_of_them = release.read(house)
    pinned, left_out = release.pins(house, all_of_them)
    assert left_out == ["pillow==13.0.0"]  # uv forces it on libraries that do not agree; pip cannot
    ours = ["swift-core==1.0", "swift-plugin-one==0.1", "swift-plugin-two==0.1"]
    assert pinned == [*ours, "packaging==26.3", "ruff==0.17.6", "h11==0.16.0"]
    wheel = release.make_bill(house, "2026.2", pinned, all_of_them, tmp_path)
    assert wheel.name == "swift_bill-2026.2-py3-none-any.whl" and list(release.lacking(wheel, {})) == []
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read("swift_bill-2026.2.dist-info/METADATA").decode()
    needed = [line.split(": ")[1] for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert needed == [*ours, "packaging==26.3", "h11==0.16.0"]  # h11 through httpx; ruff is for our work
    assert (tmp_path / "swift-bill-2026.2.txt").read_text().split() == pinned


def test_the_changelog_is_written_from_the_fragments(release: ModuleType, house: Path) -> None:
    replace(house / METADATA, 'version = "0.1"', 'version = "0.2"')
    write(house, FRAGMENT, "It is faster\nthan before.\n")
    write(house, "changelog.d/swift-plugin-one.also.md", "It is smaller.\n")
    plugin(house, "three")
    assert release.write_changelog(house, "2026.2") == 2
    assert (house / "CHANGELOG.md").read_text() == (
        "# Changelog\n\nMade from fragments.\n\n## 2026.2\n\n"
        "### swift-plugin-one 0.2\n\n- It is smaller.\n- It is faster\n  than before.\n\n"
        "### swift-plugin-three 0.1\n\n- New: The plugin three.\n\n"
        "## 0.1.0\n\nFirst release.\n"
    )
    assert release.fragments(house) == [] and (house / "changelog.d/README.md").exists()
    assert in_source(release, house) == []  # a heading of CHANGELOG.md tells as well as a fragment
    with pytest.raises(SystemExit, match=r"BILL=2026\.2\.1"):
        release.write_changelog(house, "2026.2")


def test_a_release_is_made_from_a_commit_whose_changelog_is_written(release: ModuleType, house: Path) -> None:
    write(house, FRAGMENT, "It is faster.\n")
    told = " ".join(release.unready(house, "2026.1"))
    assert "without a commit" in told and "make changelog" in told and "v2026.1 is released" in told
    with pytest.raises(SystemExit, match="INDEX=URL"):
        release.publish(house, "", "2026.2")


def test_only_new_versions_are_uploaded(release: ModuleType, house: Path, wheels: Path) -> None:
    assert release.to_upload(house, release.read(house), wheels) == []
    replace(house / METADATA, 'version = "0.1"', 'version = "0.1.1"')
    replace(house / "plugins/tuners/two/pyproject.toml", 'name = "swift-plugin-two"', 'name = "swift-plugin-new"')
    made = wheels.parent / "made"
    for name in ("swift_plugin_one-0.1.1", "swift_plugin_one-0.1", "swift_plugin_new-0.1", "swift_core-1.0"):
        write(made, f"{name}-py3-none-any.whl", "")
    found = [file.name for file in release.to_upload(house, release.read(house), made)]
    assert found == ["swift_plugin_new-0.1-py3-none-any.whl", "swift_plugin_one-0.1.1-py3-none-any.whl"]


@IN_FULL
def test_twine_finds_metadata_that_an_index_refuses(release: ModuleType, wheels: Path, tmp_path: Path) -> None:
    good = next(wheels.glob("swift_plugin_one-*.whl"))
    assert list(release.invalid([good])) == []
    bad = tmp_path / good.name
    with zipfile.ZipFile(good) as full, zipfile.ZipFile(bad, "w") as other:
        for name in full.namelist():
            text = full.read(name)
            if name.endswith("METADATA"):
                text = text.replace(b"text/markdown", b"text/x-rst").partition(b"\n\n")[0] + b"\n\n.. nothing::\n"
            other.writestr(name, text)
    assert any("Unknown directive" in line for line in release.invalid([bad]))


@IN_FULL
def test_the_check_tells_all_faults_together(
    release: ModuleType, house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release.changed_since.cache_clear()
    release.check(house)
    assert capsys.readouterr().out == "3 wheels can be released\n"
    (house / f"{ONE}/swift_plugin_one/py.typed").unlink()
    write(house, CODE, "from swift_core import nothing\n")
    release.changed_since.cache_clear()
    with pytest.raises(SystemExit) as told:
        release.check(house)
    patterns = ["raise its version 0.1", "say what", "imports nothing from swift_core", "lacks py.typed", "4 things"]
    assert [pattern in line for pattern, line in zip(patterns, str(told.value).splitlines(), strict=True)] == [True] * 5


def test_without_twine_the_target_that_brings_it_is_named(
    release: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(SystemExit, match="make release-check"):
        list(release.invalid([tmp_path / "any.whl"]))


@contextmanager
def index(folder: Path) -> Iterator[str]:
    """A real index on 127.0.0.1 that takes uploads and sends pip to the machine's index for what it has not."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir()
    beyond = run([sys.executable, "-m", "pip", "config", "get", "global.index-url"], check=False).stdout.strip()
    beyond = os.environ.get("PIP_INDEX_URL") or beyond
    fallback = ["--fallback-url", beyond] if beyond else []  # pypiserver knows the public one itself
    place = ["-i", "127.0.0.1", "-p", str(port), "-P", ".", "-a", "."]
    words = ["-m", "pypiserver", "run", *place, *fallback, "--server=gevent"]
    with (folder.parent / "index.log").open("w") as log:
        server = subprocess.Popen([sys.executable, *words, str(folder)], stdout=log, stderr=log)
        try:
            _wait(f"http://127.0.0.1:{port}/", server)
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.terminate()
            server.wait(20)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert server.poll() is None, "the index ended"
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the index does not answer")


PATIENT = {"UV_HTTP_TIMEOUT": "600", "UV_HTTP_CONNECT_TIMEOUT": "120", "UV_HTTP_RETRIES": "10"}
"""uv asks for hundreds of pages at once; a busy machine answers late."""


def finished(words: list[str], **environment: str) -> str:
    """What a long command prints; AssertionError with all of it where it fails."""
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | PATIENT
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={**clean, **environment})
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr


def test_the_extra_all_names_every_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "tools")
    extras = tool("extras")
    assert extras.text() == extras.FILE.read_text(encoding="utf-8"), "run make generated"


LAST = os.environ.get("SWIFT_LAST_RELEASE") or git_says("describe", "--tags", "--abbrev=0", "--match", "v*")


@IN_FULL
@pytest.mark.skipif(not LAST, reason="no release has a tag: name its commit, SWIFT_LAST_RELEASE=COMMIT")
def test_an_upgrade_from_the_last_release_keeps_what_it_made(tmp_path: Path) -> None:
    """Wheels of the last release train with a third party's tuner; wheels of this checkout go on from there."""
    old = tmp_path / "old"
    git(ROOT, "worktree", "add", "--detach", "--quiet", str(old), LAST)
    try:
        builds = {"old": build_wheels(tmp_path / "old-wheels", old), "new": build_wheels(tmp_path / "new-wheels", ROOT)}
    finally:
        git(ROOT, "worktree", "remove", "--force", str(old))
    venv, rows, model = Venv(tmp_path / "venv", with_ours=False), write_rows(tmp_path, CHAT), tiny_model("qwen2_vl")
    uv("build", "-q", "--wheel", "-o", str(tmp_path / "third"), str(ROOT / "tests/downstream/swift-plugin-gains"))

    def install(which: str) -> None:
        wheels = [*builds[which].glob("*.whl"), *(tmp_path / "third").glob("*.whl")]
        names = [str(wheel) for wheel in wheels]
        uv("pip", "install", "--quiet", "--no-deps", "--reinstall", "--python", str(venv.python), *names)

    words = ["--model", model, "--dataset", rows, "--save_steps", "1"]
    install("old")
    for tuner in ("lora", "gains"):
        job = [*words, "--tuner", tuner, "--output_dir", tuner, "--max_steps", "1"]
        venv.run("swift", "sft", *job, cwd=tmp_path)
    install("new")
    for tuner in ("lora", "gains"):
        job = [*words, "--tuner", tuner, "--output_dir", tuner, "--max_steps", "2"]
        venv.run("swift", "sft", *job, "--resume_from_checkpoint", "last", cwd=tmp_path)
        assert (tmp_path / tuner / "checkpoint-2" / "swift.lock.json").is_file()
        venv.run("swift", "infer", "--ckpt_dir", f"{tuner}/checkpoint-1", "--dataset", rows, cwd=tmp_path)


@IN_FULL
def test_this_checkout_is_released_to_an_index_and_installed_from_there(tmp_path: Path) -> None:
    root, env, full = tmp_path / "checkout", tmp_path / "env", tmp_path / "full"
    run(["git", "clone", "-q", str(ROOT), str(root)])
    tool_of_it = [sys.executable, str(root / "tools/release.py")]
    run([*tool_of_it, "changelog", "--bill", "2026.2"])
    commit(root, "release")
    anybody = {"TWINE_USERNAME": "anybody", "TWINE_PASSWORD": "any", "PYTHONPATH": os.environ["PYTHONPATH"]}
    with index(tmp_path / "packages") as url:
        told = finished([*tool_of_it, "publish", "--index", url, "--bill", "2026.2"], **anybody)
        assert "does not pin pillow" in told and "git tag v2026.2" in told
        made = {file.name for file in (root / "dist/2026.2").glob("*.whl")}
        assert {file.name for file in (tmp_path / "packages").glob("*.whl")} == made and len(made) > 300
        finished([sys.executable, "-m", "venv", str(env)])
        pip = [str(env / "bin/python"), "-m", "pip", "install", "--quiet", "--no-compile"]
        pins = ["--index-url", f"{url}simple/", "-c", str(root / "dist/2026.2/swift-bill-2026.2.txt")]
        finished([*pip, *pins, "swift-core", "swift-plugin-qwen2vl"])
        uv = [sys.executable, "-m", "uv", "pip", "install", "--python"]
        only_there = ["--index-url", f"{url}simple/"]
        solved = finished([*uv, str(env / "bin/python"), "--dry-run", *only_there, "swift-bill"])
        finished([sys.executable, "-m", "venv", str(full)])
        wheels = {"UV_FIND_LINKS": os.environ.get("UV_FIND_LINKS", "")}  # torch for CPUs
        finished([*uv, str(full / "bin/python"), *only_there, *pins[2:], "swift-core[all]"], **wheels)
    assert "+ swift-bill==2026.2" in solved and "+ swift-testing==" in solved
    assert "qwen2_vl" in finished([str(env / "bin/swift"), "list", "models"])
    told = finished([str(full / "bin/swift"), "doctor"])
    assert int(told.split()[0]) > 1000 and told.endswith(" 0 faults\n")
    shutil.rmtree(full)  # 1.7 GB
