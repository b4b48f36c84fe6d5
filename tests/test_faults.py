"""Faulty plugins, really installed: each breaks only the job that names it, with one line that says what to do."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

import pytest
from fresh_venv import run, uv
from swift_testing.contracts import HEAVY, bare_model

PYPROJECT = """
[build-system]
requires = ["uv_build>=0.9,<1"]
build-backend = "uv_build"

[project]
name = "{package}"
version = "1.2.3"
description = "A faulty plugin."
requires-python = ">=3.11"
dependencies = {needs}

[project.entry-points."swift_core.{group}"]
{name} = "{module}:Thing"

[tool.uv.build-backend]
module-root = ""
"""

CLASS = """
from dataclasses import dataclass
from typing import Any
from swift_core import hookimpl

@dataclass(kw_only=True, eq=False)
class Thing:
    '''A thing.'''
    {api}

    @hookimpl
    def {hook}({arguments}) -> Any:
        return model
"""


def tuner(api: str = "swift_api = 1", hook: str = "attach_tuner", arguments: str = "self, model") -> str:
    """The source of a tuner that does nothing."""
    return CLASS.format(api=api, hook=hook, arguments=arguments)


# package → (kind's group, component, what it needs, source)
FAULTY = {
    "half-done": ("tuners", "half_done", [], "raise RuntimeError('not finished yet')"),
    "no-syntax": ("tuners", "no_syntax", [], "def ("),
    "no-class": ("tuners", "no_class", [], "Other = 1"),
    "from-long-ago": ("tuners", "old", [], tuner(api="swift_api = 0")),
    "says-nothing": ("tuners", "silent", [], tuner(api="pass")),
    "acme-lora": ("tuners", "lora", [], tuner()),
    "wrong-argument": ("tuners", "wrong_argument", [], tuner(arguments="self, modle")),
    "wrong-hook": ("tuners", "wrong_hook", [], tuner(hook="atach_tuner")),
    "needs-more": ("tuners", "needy", ["there-is-no-such-library>=2"], tuner()),
    "needs-newer": ("tuners", "newer", ["pluggy>=999"], tuner()),
    "bad-command": ("commands", "bad", [], "raise RuntimeError('no command')"),
    "bad-card": ("models", "bad_card", [], "raise RuntimeError('no card')"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for sys.path in which all of them are installed."""
    folder, places = tmp_path_factory.mktemp("faulty"), []
    for package, (group, name, needs, source) in FAULTY.items():
        module = package.replace("-", "_")
        facts = {"package": package, "group": group, "name": name, "module": module, "needs": needs}
        (folder / package / module).mkdir(parents=True)
        (folder / package / "pyproject.toml").write_text(PYPROJECT.format(**facts))
        (folder / package / module / "__init__.py").write_text(source)
        places.append(str(folder / package))
    target = folder / "site"
    uv("pip", "install", "--quiet", "--no-deps", "--python", sys.executable, "--target", str(target), *places)
    return target


@pytest.fixture
def swift(site: Path, monkeypatch: pytest.MonkeyPatch):
    """Run `swift` in an environment that holds the faulty plugins; (exit code, output, errors)."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))

    def call(*words: str) -> tuple[int, str, str]:
        done = run([sys.executable, "-m", "swift_core", *words], check=False)
        return done.returncode, done.stdout, done.stderr

    return call


def explain(tuner_name: str) -> list[str]:
    """The words of a job that uses a tuner."""
    return ["explain", "sft", "--model", bare_model(), "--dataset", __file__, "--tuner", tuner_name]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("half_done", ["half-done 1.2.3", "RuntimeError: not finished yet", "Reinstall or remove"]),
        ("no_syntax", ["no-syntax 1.2.3", "SyntaxError"]),
        ("no_class", ["no-class 1.2.3", "no_class:Thing", "AttributeError"]),
        ("old", ["from-long-ago 1.2.3", "plugin API 0", "speaks API 1", "pip install --upgrade from-long-ago"]),
        ("silent", ["says-nothing 1.2.3", "declares no swift_api", "pip install --upgrade says-nothing"]),
        ("wrong_argument", ["wrong-argument 1.2.3", "'attach_tuner'", "'modle'", "Did you mean 'model'?"]),
        ("wrong_hook", ["wrong-hook 1.2.3", "'atach_tuner'", "Did you mean 'attach_tuner'?"]),
        ("needy", ["needs-more", "there-is-no-such-library>=2", "not installed", "pip install"]),
        ("lora", ["acme-lora", "swift-plugin-lora", "lora@acme-lora or lora@swift-plugin-lora"]),
    ],
)
def test_the_job_that_names_it_is_told_in_one_line(swift, name: str, said: list[str]) -> None:
    code, out, err = swift(*explain(name))
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("swift: ")
    assert all(word in err for word in said), err


def test_other_jobs_do_not_notice(swift) -> None:
    code, out, err = swift(*explain("full"))
    assert (code, err) == (0, "")
    assert "swift-plugin-full" in out


def test_of_two_with_one_name_either_can_be_chosen(swift) -> None:
    assert "acme-lora 1.2.3" in swift(*explain("lora@acme-lora"))[1]
    code, out, _ = swift(*explain("lora@swift-plugin-lora"), "--lora_rank", "4")
    assert code == 0
    assert "acme-lora" not in out
    assert "--lora_rank 4" in out


def test_lists_and_help_go_on_working(swift) -> None:
    for words in (["list"], ["list", "models", "--json"], ["--help"], ["sft", "--help"], ["show", "tuner", "full"]):
        code, _, err = swift(*words)
        assert (code, err) == (0, ""), words
    assert "half_done" in swift("list", "tuners")[1]
    assert "no card" in swift("list", "models", "--json")[1]


def test_doctor_lists_every_fault_and_fails(swift) -> None:
    code, out, err = swift("doctor")
    assert (code, err) == (1, "")
    for package in FAULTY:
        lines = [line for line in out.splitlines() if line.startswith("- ") and package in line]
        assert len(lines) == 1, f"{package}: {lines}"
    assert "needs pluggy>=999, found pluggy" in out


def test_a_report_says_versions_devices_and_faults_and_nothing_private(swift, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "sesame")
    code, out, err = swift("doctor", "--report")
    assert (code, err) == (0, "")
    versions = [f"- {name} {metadata.version(name)}" for name in ("swift-core", "torch")]
    for line in (*versions, "- acme-lora 1.2.3", "- CUDA_VISIBLE_DEVICES"):
        assert line in out.splitlines(), line
    assert "- torch built for " in out
    faults = out.partition("### Faults\n")[2]
    assert all(package in faults for package in FAULTY)
    assert not any(word in out for word in ("sesame", str(Path.home()), platform.node()))


def test_doctor_imports_nothing_heavy(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(site))
    done = run([sys.executable, "-X", "importtime", "-m", "swift_core", "doctor"], check=False)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "swift_core.catalogue" in imported
    assert not imported & set(HEAVY)
