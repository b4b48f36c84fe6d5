"""Every recipe prepares against cards, options and data sets; three run here, all of them in `make test-recipes`."""

import os

import pytest
from swift_testing import RecipeContract
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
