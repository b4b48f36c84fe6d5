"""The documentation keeps its word: the tutorial runs, the reference is up to date, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from fresh_venv import ROOT, Venv, run, uv
from swift_testing import warm
from swift_testing.contracts import bare_model
from tools_of import tool

from swift_core.cli.work import prepared
from swift_core.contract.kinds import KINDS
from swift_core.contract.signatures import hook_specs

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


RUN = {"plugin-author.md": 20, "build-on-the-runtime.md": 5, "beside-other-tuners.md": 9, "declarations.md": 6}
"""Pages whose every command runs, and how many commands they have at least."""


@pytest.mark.parametrize(("page", "least"), RUN.items())
def test_the_tutorial_runs(page: str, least: int, tmp_path: Path) -> None:
    """Files named before a block are written; `$` lines run, and what follows them stands in their output."""
    venv = Venv(tmp_path / "venv", with_ours=True)
    programs = warm.path(tmp_path / "bin", venv.folder)
    folder = tmp_path / "work"
    folder.mkdir()
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    commands = 0
    for block in BLOCK.finditer(text):
        _, language, body = block.groups()
        named = re.findall(r"`([\w./-]+\.(?:py|toml))`(?: to)?:\s*\Z", text[: block.start()])
        if language in ("python", "toml") and named:
            (folder / named[-1]).parent.mkdir(parents=True, exist_ok=True)
            (folder / named[-1]).write_text(body, encoding="utf-8")
        elif language == "console":
            for command, expected in _commands(body):
                commands += 1
                _run(venv, programs, command, expected, folder)
    assert commands >= least


def _commands(body: str) -> list[tuple[str, list[str]]]:
    """(command, lines expected in its output) of a console block."""
    found: list[tuple[str, list[str]]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            found[-1][1].append(line)
    return found


def _run(venv: Venv, programs: Path, command: str, expected: list[str], folder: Path) -> None:
    if command.startswith("pip install -e "):
        place = command.removeprefix("pip install -e ")
        uv("pip", "install", "--quiet", "--no-deps", "--python", str(venv.python), "-e", str(folder / place))
        return
    done = run(["bash", "-euc", command], cwd=folder, path=programs)
    said = " ".join((done.stdout + done.stderr).split())
    for line in expected:
        assert " ".join(line.split()) in said, f"{command} did not print {line!r} but:\n{done.stdout}{done.stderr}"


def test_the_reference_is_up_to_date() -> None:
    folder = ROOT / "docs" / "reference"
    stale = [
        name for name, text in tool("reference").pages().items() if (folder / name).read_text(encoding="utf-8") != text
    ]
    assert not stale, f"{', '.join(stale)}: run make generated"


@pytest.mark.parametrize("name", ["troubleshooting", "coming_from", "api", "matrix"])
def test_the_page_of_a_tool_is_up_to_date(name: str) -> None:
    made = tool(name)
    assert made.page() == made.PAGE.read_text(encoding="utf-8"), "run make generated"


def test_the_chinese_reference_is_up_to_date() -> None:
    made = tool("zh")
    stale = [name for name, text in made.pages().items() if (made.FOLDER / name).read_text(encoding="utf-8") != text]
    assert not stale, f"{', '.join(stale)}: run make generated"


def test_an_option_without_a_chinese_text_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a job or of a component; and a text whose option is gone, or says something else now."""
    made, known = tool("zh"), tool("zh").translations()
    lost = {key for key in known if key[0] in ("max_length", "lora_rank")}
    kept = {key: text for key, text in known.items() if key not in lost}
    monkeypatch.setattr(made, "translations", lambda: {**kept, ("lora_rank", "00000000"): "秩"})
    with pytest.raises(SystemExit) as told:
        made.pages()
    lines = str(told.value).splitlines()
    assert len(lost) == 2 and {tuple(line.split("\t")[1::-1]) for line in lines[1:3]} == lost
    assert lines[3:] == ["00000000\tlora_rank\tno option has this help"]


def test_the_figures_of_the_readme_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "tools")
    made = tool("readme")
    assert made.text() == made.FILE.read_text(encoding="utf-8"), "run make generated"


def test_errors_are_found_in_each_form_that_the_code_writes(tmp_path: Path) -> None:
    """A text of its own, one of several parts, one of a choice, one of another function, one of a list."""
    file = tmp_path / "errors.py"
    file.write_text(
        "class Full(SwiftError): ...\n"
        "def why(name):\n    return f'the disk {name} cannot hold it'\n"
        "def work(self, name):\n"
        "    if name: raise SwiftError(f'No file {name} is there.{did_you_mean(name, [])}')\n"
        "    if self: raise Full(('One more file' if name else 'No more files') + f' can be kept: {name}')\n"
        "    self.mistakes += [why(name)]\n"
        "    self.mistakes += unknown('lr', '', [])\n"
        "    raise SwiftError(name)\n",
        encoding="utf-8",
    )
    assert tool("troubleshooting")._texts_of(file, {"SwiftError", "Full"}) == {
        "No file … is there.",
        "One more file can be kept: …",
        "No more files can be kept: …",
        "the disk … cannot hold it",
        "There is no option --…….…",
    }


def test_every_kind_and_hook_has_its_section() -> None:
    folder = ROOT / "docs" / "reference"
    for page, names in {"kinds.md": KINDS, "hooks.md": hook_specs()}.items():
        headings = re.findall(r"^## (\w+)$", (folder / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert headings == list(names)


def test_every_hook_explains_itself() -> None:
    from swift_core.contract import hooks

    for name in hook_specs():
        assert len(getattr(hooks, name).__doc__ or "") > 40, f"{name} needs a docstring: it is the contract"


def test_the_index_names_every_page() -> None:
    linked = re.findall(r"\]\(([\w-]+\.md)\)", (ROOT / "docs" / "README.md").read_text(encoding="utf-8"))
    assert sorted(linked) == sorted(p.name for p in (ROOT / "docs").glob("*.md") if p.name != "README.md")


ENGLISH = {"README.md", "cli.md", "components.md"}
"""Chinese pages that are no translation of a page."""


def test_every_how_to_is_there_in_chinese() -> None:
    english, chinese = ({p.name for p in (ROOT / "docs" / place).glob("*.md")} for place in ("how-to", "zh/how-to"))
    assert english == chinese
    linked = re.findall(r"\]\(([\w/-]+\.md)\)", (ROOT / "docs" / "zh" / "README.md").read_text(encoding="utf-8"))
    there = {p.relative_to(ROOT / "docs" / "zh").as_posix() for p in (ROOT / "docs" / "zh").glob("**/*.md")}
    assert set(linked) == there - {"README.md"}


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "zh").glob("**/*.md")), ids=lambda p: p.stem)
def test_a_chinese_page_has_the_commands_and_blocks_of_the_english_one(page: Path) -> None:
    """And as many headings and rows of tables."""
    if page.name in ENGLISH:
        pytest.skip("no translation of a page")
    texts = [f.read_text(encoding="utf-8") for f in (page, ROOT / "docs" / page.relative_to(ROOT / "docs" / "zh"))]
    blocks, headings, rows = zip(*map(_bones, texts), strict=True)
    assert blocks[0] == blocks[1]
    assert headings[0] == headings[1]
    assert rows[0] == rows[1]


def _bones(text: str) -> tuple[list[str], list[int], int]:
    """(blocks of code, levels of headings, rows of tables)."""
    blocks = [block.group() for block in BLOCK.finditer(text)]
    prose = BLOCK.sub("", text)
    levels = [len(marks) for marks in re.findall(r"^(#+) ", prose, re.MULTILINE)]
    return blocks, levels, len(re.findall(r"^\|", prose, re.MULTILINE))


@pytest.mark.parametrize("place", ["how-to", "zh/how-to"])
def test_what_the_page_about_the_browser_names_is_there(place: str) -> None:
    from swift_plugin_webui.page.texts import CHINESE

    words = set(
        re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", (ROOT / "docs" / place / "web-ui.md").read_text(encoding="utf-8"))
    )
    there = set(CHINESE.values() if place.startswith("zh") else CHINESE)
    assert words and {word for word in words if not any(text.startswith(word) for text in there)} == set()


NO_JOBS = ("new", "show", "check", "list", "app")
"""Commands of how-tos that run no job."""


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "how-to").glob("*.md")), ids=lambda p: p.stem)
def test_every_command_of_a_how_to_is_a_job(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is prepared as `swift explain` does, with a model's folder in place of a checkpoint's."""
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"\b\w+\.jsonl", text):
        (tmp_path / name).write_text('{"query": "a", "response": "b"}\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^\$ swift (.*)", text.replace("\\\n", " "), re.MULTILINE)
    jobs = [words for words in map(_words, commands) if words[0] not in NO_JOBS]
    assert jobs
    made = re.findall(r"^\$ swift new \w+ (\w+)", text, re.MULTILINE)  # the reader's plugin, which is not installed
    jobs = [words for words in jobs if not any(word.partition("::")[0] in made for word in words)]
    for job, *words in jobs:
        prepared(job, words)


def _words(command: str) -> list[str]:
    """A command's words without `explain` and `plan` before the job."""
    words = shlex.split(command)
    if "--ckpt_dir" in words:
        place = words.index("--ckpt_dir")
        words[place : place + 2] = ["--model", bare_model()]
    return words[1:] if words[0] in ("explain", "plan") else words


def test_the_site_leads_to_every_page() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    there = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").glob("**/*.md")}
    listed = _entries(site["nav"])
    assert sorted(listed) == sorted(there)


def _entries(nav: object) -> list[str]:
    """The pages that a navigation names, sections within sections."""
    if isinstance(nav, str):
        return [nav]
    return [page for part in (nav.values() if isinstance(nav, dict) else nav) for page in _entries(part)]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor and file.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {_anchor(h) for h in headings}, f"{page.name} links to {target}"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    known = set(re.findall(r"^([a-z]+(?:-[a-z]+)*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"(?:^\$ |`)make ([a-z]+(?:-[a-z]+)*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= known
