"""Every recipe prepares against cards, options and data sets; three run here, all of them in `make test-recipes`."""

import json
import os
import subprocess
import sys

import pytest
from swift_testing import RecipeContract
from swift_testing.contracts import CHAT, tiny_model, write_rows
from swift_testing.recipes import check_recipe, run_tiny

from swift_core.catalogue.entries import Catalogue
from swift_core.cli.recipes import recipes
from swift_core.contract.errors import SwiftError
from swift_core.job.options import Given, read_config
from swift_core.job.prepare import prepare
from swift_core.job.recipes import commented, given_of, read_recipe

OURS = {e.name: e.load() for e in Catalogue.installed().of_kind("recipe") if e.package == "swift-recipes-catalog"}
ISOLATED = ("quantize-awq", "eval-benchmarks")
"""What they do is done by libraries in an environment of its own, so they are prepared alone."""

ALWAYS = ("qwen25-7b-dpo", "qwen25-0-5b-sentiment")
"""Recipes that run in every test run, beside the contract's."""

ALL = [name for name in OURS if name not in ISOLATED]


class TestSelfCognition(RecipeContract):
    name = "qwen3-8b-self-cognition"


@pytest.mark.parametrize("name", OURS)
def test_it_prepares(name):
    check_recipe(OURS[name])


@pytest.mark.parametrize("name", ALL if os.environ.get("SWIFT_TEST_RECIPES") else ALWAYS)
def test_it_runs_with_a_tiny_model(name, tmp_path):
    run_tiny(OURS[name], tmp_path)


def test_the_catalogue_covers_what_it_should():
    assert len(OURS) >= 40
    methods = {str(r.options.get("rlhf_type") or r.options.get("trainer")) for r in OURS.values()}
    assert {"dpo", "kto", "orpo", "simpo", "cpo", "rm", "ppo", "grpo", "rloo", "gkd", "embedding", "seq_cls"} <= methods
    assert {"sft", "pt", "rlhf", "export", "deploy", "infer", "eval", "sample"} <= {r.job for r in OURS.values()}


def test_what_show_prints_is_a_job_file(capsys, tmp_path):
    recipes(["show", "qwen25_14b_qlora"])
    printed = capsys.readouterr().out
    (tmp_path / "job.yaml").write_text(printed, encoding="utf-8")
    recipe = OURS["qwen25-14b-qlora"]
    assert {g.key: g.value for g in read_config(tmp_path / "job.yaml")} == recipe.options
    assert "# swift sft \\\n#     --model Qwen/Qwen2.5-14B-Instruct \\" in printed
    assert printed.endswith(recipe.text)


def test_a_list_says_job_task_and_model(capsys):
    recipes(["list", "--search", "geometry"])
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 components")
    recipes(["list", "--search", "grounding"])
    heads, *rows, _ = capsys.readouterr().out.splitlines()
    assert heads.split()[:5] == ["KIND", "NAME", "JOB", "TASK", "MODEL"]
    assert any("qwen25-vl-3b-grounding" in row and "Qwen/Qwen2.5-VL-3B-Instruct" in row for row in rows)


def test_options_on_top_win():
    job = prepare("sft", [*given_of(OURS["qwen3-8b-lora"]), Given("lora_rank", "4", "command line")])
    tuner = job.one("tuner")
    assert (tuner.lora_rank, tuner.lora_alpha) == (4, 32)
    assert {job.sources[f"default.{name}"] for name in ("lora_rank", "lora_alpha")} == {
        "command line",
        "recipe qwen3-8b-lora",
    }


def test_run_starts_the_job_with_options_on_top(capsys):
    """The job's own faults are reported, so it was started; with --help its options are shown."""
    with pytest.raises(SwiftError, match="no option --lora_rnak"):
        recipes(["run", "qwen3-8b-lora", "--lora_rnak", "4"])
    recipes(["run", "merge-lora", "--help"])
    assert "--ckpt_dir" in capsys.readouterr().out


def test_run_trains_on_rows_of_ones_own(tmp_path, capsys):
    words = ["--model", tiny_model("llama"), "--dataset", write_rows(tmp_path, CHAT), "--max_steps", "1"]
    more = ["--lora_rank", "2", "--split_dataset_ratio", "0", "--device", "cpu", "--output_dir", str(tmp_path / "run")]
    recipes(["run", "llama31-8b-lora", *words, *more])
    config = json.loads((tmp_path / "run" / "checkpoint-1" / "adapter_config.json").read_text(encoding="utf-8"))
    assert (config["r"], config["lora_alpha"]) == (2, 32)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "qwen25-7b-dpoo"], "Did you mean 'qwen25-7b-dpo'"),
        (["run", "merge-lora"], "needs --ckpt_dir: Say --ckpt_dir CHECKPOINT"),
        (["run"], "Which recipe"),
        (["lst"], "Did you mean 'list'"),
        (["list", "chat"], "takes --search WORD"),
    ],
)
def test_a_wrong_word_is_told(words, said):
    with pytest.raises(SwiftError, match=said):
        recipes(words)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("summary: x\njob: sft\n", "This file holds 1"),
        ("sumary: x\n---\nmodel: m\n", "unknown key 'sumary'. Did you mean 'summary'"),
        ("summary: x\n---\nmodel: m\n", "say which job"),
        ("summary: [x]\njob: sft\n---\nmodel: m\n", "summary must not be"),
        ("job: sft\n---\n- m\n", "its job must be a map"),
    ],
)
def test_a_file_that_is_no_recipe_is_told(text, said):
    with pytest.raises(SwiftError, match=said):
        read_recipe(text, "mine")


def test_a_list_and_a_recipe_are_shown_without_torch_or_typer():
    said = "from swift_core.cli import main; import sys; main()"
    code = (
        f"import sys; sys.argv[1:] = ['recipes', 'show', 'qwen3-8b-lora']; {said}; sys.argv[2:] = ['list']; main(); "
        "print([n for n in ('torch', 'transformers', 'typer', 'pydantic') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_recipe_shows_what_its_user_has_to_say():
    assert "# you say: --ckpt_dir …" in commented(OURS["merge-lora"])
