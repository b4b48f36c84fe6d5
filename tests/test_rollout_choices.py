"""Who draws the answers of rollouts and what responds to them, as a job chooses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from swift_testing.contracts import bare_model, write_rows

from swift_core.catalogue.entries import Catalogue, Entry
from swift_core.contract.errors import SwiftError
from swift_core.contract.hooks import hookimpl
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs import train


class RespondingReward:
    """A reward as they were before environments were a kind of their own."""

    swift_api = 1

    @hookimpl
    def respond(self, row: Any) -> None:
        """Says nothing."""


def job(**options: Any) -> Any:
    found = Catalogue(list(Catalogue.installed().entries))
    found.entries.append(Entry("reward", "responding", "pytest", "0", "", f"{__name__}:RespondingReward"))
    told = {"model": bare_model(), "trainer": "grpo", "reward": "accuracy", **options}
    return prepare("train", [Given(k, v, "test") for k, v in told.items()], found)


def test_use_vllm_means_its_backend() -> None:
    for said in ({"use_vllm": True}, {"rollout_backend": "vllm"}, {"use_vllm": True, "rollout_backend": "vllm"}):
        found = job(**said, vllm_kv_cache_gib=2)
        assert found.options.rollout_backend == "vllm" and found.one("backend").vllm_kv_cache_gib == 2
    assert not job().many("backend") and not job(use_vllm=False).many("backend")


def test_two_backends_are_refused() -> None:
    with pytest.raises(SwiftError, match="--use_vllm true means --rollout_backend vllm, and --rollout_backend transf"):
        job(use_vllm=True, rollout_backend="transformers")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rollout_backend": "transformers"}, "--rollout_backend transformers: this backend does not follow a policy"),
        ({"rollout_backend": "vllm", "trainer": "sft"}, "--rollout_backend vllm serves rollouts, and sft draws no ans"),
        ({"environment": "calculator", "trainer": "dpo"}, "--environment calculator serves rollouts, and dpo draws no"),
    ],
)
def test_what_rollouts_cannot_use_is_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    rows = write_rows(tmp_path, [{"query": "hello"}])
    with pytest.raises(SwiftError, match=message):
        train.run(job(dataset=[rows], output_dir=str(tmp_path / "out"), **options))
    assert not (tmp_path / "out").exists()


def test_a_reward_that_responds_is_told_to_be_an_environment() -> None:
    message = (
        r"reward 'responding' .* implements hook 'respond', which no reward has; it is a hook of the kind environment "
        r"\(entry-point group swift_core.environments, option --environment\)"
    )
    with pytest.raises(SwiftError, match=message):
        job(reward="responding")


def test_a_component_of_another_kind_is_pointed_to() -> None:
    with pytest.raises(SwiftError, match=r"no reward 'calculator' installed.* kind environment: --environment calc"):
        job(reward="calculator")
