"""The command line: help, lists, and what a user hears after a mistake. No command here imports torch."""

from __future__ import annotations

import json
import sys
from importlib import metadata

import pytest
from fresh_venv import run
from swift_testing.contracts import CHAT, HEAVY, bare_model
from swift_testing.contracts import write_rows as write_jsonl

from swift_core.contract.kinds import KINDS
from swift_core.job.specs import JOBS


def swift(*words: str) -> tuple[int, str, str]:
    """(exit code, output, errors) of `swift WORDS`."""
    done = run([sys.executable, "-m", "swift_core", *words], check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_jsonl(tmp_path_factory.mktemp("rows"), CHAT)


LIGHT = {
    "bare": [],
    "help": ["--help"],
    "version": ["--version"],
    "list": ["list"],
    "list models": ["list", "models", "--search", "qwen2", "--json"],
    "show": ["show", "tuner", "lora"],
    "show model": ["show", "model", "qwen2_vl"],
    "doctor": ["doctor"],
    "doctor help": ["doctor", "--help"],
    "job help": ["sft", "--tuner", "lora", "--help"],
    "explain": ["explain", "sft", "--model", "MODEL", "--dataset", "ROWS"],
    "env": ["env", "list"],
    "new help": ["new", "--help"],
    "check help": ["check", "--help"],
}


@pytest.mark.parametrize("words", LIGHT.values(), ids=LIGHT)
def test_light_commands_import_nothing_heavy(words: list[str], rows: str) -> None:
    words = [{"MODEL": bare_model(), "ROWS": rows}.get(w, w) for w in words]
    done = run([sys.executable, "-X", "importtime", "-m", "swift_core", *words])
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "swift_core" in imported
    assert not imported & set(HEAVY)
    assert done.stdout


def test_the_help_says_what_each_plugins_command_does() -> None:
    """Not what its distribution is: `plan` comes with the runtime."""
    said = " ".join(swift("--help")[1].split())
    assert "plan Predict what a job takes: memory by part" in said and "check Run a plugin's contract tests." in said


def test_bare_swift_shows_the_help() -> None:
    code, out, err = swift()
    assert (code, err) == (0, "")
    assert out == swift("--help")[1]
    assert all(f"\n  {job} " in out for job in JOBS)


def test_the_version_is_the_packages() -> None:
    assert swift("--version")[1].strip() == f"swift-core {metadata.version('swift-core')}"


MISTAKES = {
    "command": (["sftt"], "'sft'"),
    "kind": (["list", "tunners"], "Did you mean 'tuner'?"),
    "component": (["show", "tuner", "lorra"], "Did you mean 'lora'?"),
    "option of a command": (["list", "--jsno"], "--json"),
    "option of a job": (
        ["sft", "--model", "MODEL", "--dataset", "ROWS", "--lora_rnak", "4"],
        "Did you mean 'lora_rank'?",
    ),
    "value of an option": (["sft", "--model", "MODEL", "--dataset", "ROWS", "--lora_rank", "zero"], "--lora_rank zero"),
    "component of a job": (
        ["sft", "--model", "MODEL", "--dataset", "ROWS", "--tuner", "lorra"],
        "Did you mean 'lora'?",
    ),
    "job to explain": (["explain", "sfft"], "Did you mean 'sft'?"),
    "no model": (["sft", "--dataset", "ROWS"], "--model"),
    "a word without an option": (["sft", "rows.jsonl"], "Options are written --name value"),
    "package to check": (["check", "swift-plugin-lorra"], "Did you mean 'swift-plugin-lora'?"),
    "folder to check": (["check", "/"], "holds no pyproject.toml"),
    "kind of a new plugin": (["new", "tunner", "mine"], "Did you mean 'tuner'?"),
    "name of a new plugin": (["new", "tuner", "9"], "cannot be a component's name"),
}


@pytest.mark.parametrize(("words", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_and_not_traced(words: list[str], said: str, rows: str) -> None:
    code, out, err = swift(*[{"MODEL": bare_model(), "ROWS": rows}.get(w, w) for w in words])
    assert code == 2
    assert said in err
    assert "Traceback" not in err + out


def test_mistakes_are_reported_together(rows: str) -> None:
    _, _, err = swift("sft", "--model", bare_model(), "--dataset", rows, "--lora_rank", "0", "--max_step", "3")
    assert "--lora_rank 0" in err
    assert "Did you mean 'max_steps'?" in err


def test_the_list_as_json_has_every_field() -> None:
    listed = json.loads(swift("list", "--json")[1])
    assert {"kind", "name", "package", "version", "summary"} <= set.intersection(*(set(c) for c in listed))
    assert {c["kind"] for c in listed} == set(KINDS) - {"command"} | {c["kind"] for c in listed}
    for model in (c for c in listed if c["kind"] == "model"):
        assert {"checkpoints", "modality", "template", "level"} <= set(model)
        assert "fault" not in model


def test_a_search_looks_into_checkpoints() -> None:
    found = json.loads(swift("list", "models", "--search", "qwen2-vl-2b-instruct", "--json")[1])
    (model,) = [m for m in found if m["name"] == "qwen2_vl"]
    assert "Qwen/Qwen2-VL-2B-Instruct" in {p["huggingface"] for p in model["checkpoints"]}
    assert "llama" not in {m["name"] for m in found}


def test_show_tells_all_about_a_component() -> None:
    _, out, _ = swift("show", "tuner", "full")
    for said in (
        "Every weight trains",
        "swift-plugin-full",
        "attach_tuner",
        "__init__.py",
        "quantized weights have no",
    ):
        assert said in out
    facts = json.loads(swift("show", "tuner", "lora", "--json")[1])
    rank = next(o for o in facts["options"] if o["name"] == "lora_rank")
    assert (rank["type"], rank["default"]) == ("int", 8)
    assert rank["help"].startswith("Rank r")


def test_job_help_shows_the_options_of_the_named_components() -> None:
    plain, with_tuner = swift("sft", "--tuner", "full", "--help")[1], swift("sft", "--help")[1]
    assert "--lora_rank" not in plain
    assert "--lora_rank" in with_tuner
    assert "swift-plugin-lora" in with_tuner


def test_explain_shows_the_chain_and_where_values_come_from(rows: str, tmp_path) -> None:
    config = tmp_path / "job.yaml"
    config.write_text("lora: {rank: 4}\nmax_steps: 7\n")
    words = ["--model", bare_model(), "--dataset", rows, "--config", str(config), "--lora-alpha", "5"]
    code, out, err = swift("explain", "sft", *words)
    assert (code, err) == (0, "")
    for said in ("swift-plugin-qwen2", "swift-plugin-lora", "config.json", "build_trainer", "load_model"):
        assert said in out
    assert f"--lora_rank 4 ({config})" in out
    assert "--lora_alpha 5 (command line)" in out
    assert f"--max_steps 7 ({config})" in out
    assert "--lora_dropout 0.0 (default)" in out
    assert not list(tmp_path.glob("output*"))


def test_dashes_and_underscores_are_alike(rows: str) -> None:
    words = ["explain", "sft", "--model", bare_model(), "--dataset", rows]
    assert swift(*words, "--lora-rank", "4")[1] == swift(*words, "--lora_rank=4")[1]
