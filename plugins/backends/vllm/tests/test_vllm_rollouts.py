"""Rollouts with a vLLM server: what is refused, and where the environment is made, that it follows the policy."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
import transformers
from PIL import Image
from swift_plugin_runtime.rollouts.rollout import roll_out
from swift_plugin_vllm.rollouts import Rollouts
from swift_testing.serving import LESSONS, taught_qwen2
from swift_testing.tiny import tiny_qwen2, tiny_qwen2_vl

from swift_core import SwiftError
from swift_core.api import run
from swift_core.contract.engine import Sampling
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import attach_tuners, load_model
from swift_core.jobs.train import load_data

READY = os.environ.get("SWIFT_TEST_VLLM") == "1"
needs_vllm = pytest.mark.skipif(not READY, reason="vLLM in an environment of 3 GB: make test-vllm")


def told(model: str, folder: Path, **options: Any) -> dict[str, Any]:
    """Options of a GRPO job on three questions whose rollouts a server draws."""
    file = folder / "prompts.jsonl"
    file.write_text("".join(json.dumps({"query": row["query"]}) + "\n" for row in LESSONS[:3]), encoding="utf-8")
    return {
        "model": model,
        "template": "chatml",
        "dataset": str(file),
        "reward": "format",
        "rollout_backend": "vllm",
        "num_generations": 2,
        "max_completion_length": 12,
        "per_device_train_batch_size": 3,
        "output_dir": str(folder / "out"),
        "vllm_kv_cache_gib": 1,
        **options,
    }


def build(options: dict[str, Any]) -> Any:
    """The trainer of a GRPO job with these options."""
    job = prepare("rlhf", [Given(k, v, "test") for k, v in {"rlhf_type": "grpo", **options}.items()])
    rows, _ = load_data(job)
    model, processor = load_model(job)
    model = attach_tuners(job, model)
    return job.hook.build_trainer(job=job, model=model, processor=processor, rows=rows, eval_rows=None)


# -- without the environment ------------------------------------------------------------------------------
def test_a_method_that_draws_nothing_is_refused(tmp_path):
    data = told(tiny_qwen2(tmp_path / "m"), tmp_path)["dataset"]
    options = {"model": str(tmp_path / "m"), "dataset": data, "rollout_backend": "vllm"}
    with pytest.raises(SwiftError, match="sft draws no answers"):
        run("sft", **options, output_dir=str(tmp_path / "out"))
    with pytest.raises(SwiftError, match="gkd draws no answers"):
        run("rlhf", **options, rlhf_type="gkd", lmbda=0, output_dir=str(tmp_path / "out"))


def test_an_end_of_several_tokens_is_refused(tmp_path):
    with pytest.raises(SwiftError, match="several tokens"):
        build(told(tiny_qwen2(tmp_path / "m"), tmp_path, template="gemma"))


def test_prompts_with_media_are_refused(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    options = told(tiny_qwen2(tmp_path / "m"), tmp_path)
    row = {"query": "<image>What?", "images": [str(tmp_path / "a.png")]}
    Path(options["dataset"]).write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(SwiftError, match="reads no image"):
        build(options)
    options |= {"model": tiny_qwen2_vl(tmp_path / "vl"), "template": "qwen2_vl"}
    with pytest.raises(SwiftError, match="this one has media"):
        build(options)


def test_a_policy_that_is_neither_lora_nor_whole_is_refused(tmp_path):
    options = told(tiny_qwen2(tmp_path / "m"), tmp_path, tuner=["ia3"])
    with pytest.raises(SwiftError, match="--tuner lora, or full"):
        run("rlhf", rlhf_type="grpo", **options)
    assert not Path(options["output_dir"], ".rollouts").exists()


def test_a_server_that_is_not_there_is_named(tmp_path):
    options = told(tiny_qwen2(tmp_path / "m"), tmp_path, vllm_server_host="127.0.0.1", vllm_server_port=9)
    with pytest.raises(SwiftError, match=r"http://127\.0\.0\.1:9 does not answer"):
        run("rlhf", rlhf_type="grpo", **options)


# -- with it ----------------------------------------------------------------------------------------------
GREEDY = Sampling(12, 0.0)


def answers(trainer: Any, engine: Any) -> list[Any]:
    """What the engine answers to every prompt: tokens, text, and whether the answer was cut."""
    prompts = [trainer.train_dataset[n] for n in range(3)]
    found = roll_out(trainer.job, engine, trainer.processing_class, prompts, GREEDY, 0)
    return [(c.turns[0][1].ids, c.text, c.cut) for c in found]


@dataclass
class Watch(transformers.TrainerCallback):
    """After every step moves the weights, lets the server follow, and notes what it and the model itself draw."""

    trainer: Any
    last: Any
    served: list[Any] = field(default_factory=list)
    own: list[Any] = field(default_factory=list)
    server: Any = None

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.compare()

    def on_step_end(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
        torch.manual_seed(state.global_step)
        with torch.no_grad():
            for p in self.trainer.model.parameters():
                if p.requires_grad:
                    p.add_(torch.randn_like(p) * 0.2)
        self.compare()
        if state.global_step == 2:
            self.last(self.trainer)

    def compare(self) -> None:
        """Greedy answers of both to every prompt."""
        policy = self.trainer.policy_engine
        self.served.append(answers(self.trainer, policy.current()))
        self.own.append(answers(self.trainer, policy.own()))
        self.server = policy.server.server


def watched(trainer: Any, last: Any) -> Watch:
    """The trainer's watch, which calls `last(trainer)` after the second step."""
    watch = Watch(trainer, last)
    trainer.add_callback(watch)
    return watch


def refused_as_stale(trainer: Any) -> None:
    """Drawing raises, and says that the rollout is stale."""
    with pytest.raises(SwiftError, match="stale"):
        answers(trainer, trainer.policy_engine.server)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: Any) -> str:
    """A tiny model that ends its answers."""
    return taught_qwen2(tmp_path_factory.mktemp("taught"))


@needs_vllm
def test_an_adapter_is_followed(taught, tmp_path):
    def take_out(trainer: Any) -> None:
        engine = trainer.policy_engine.server
        engine._ask("/v1/unload_lora_adapter", {"lora_name": engine.version})
        refused_as_stale(trainer)
        again = str(tmp_path / "again")
        trainer.save_policy(again)
        engine.adapter = None
        engine.follow(again, engine.version)

    trainer = build(told(taught, tmp_path, tuner=["lora"], max_steps=3, save_steps=3))
    watch = watched(trainer, take_out)
    trainer.train()
    assert watch.served == watch.own
    assert watch.own[0][0][1:] == (LESSONS[0]["response"], False)
    assert all(a != b for a, b in zip(watch.own, watch.own[1:], strict=False))
    assert watch.server.process.poll() is not None
    assert Path(tmp_path, "out", "checkpoint-3", "adapter_config.json").is_file()
    assert not Path(tmp_path, "out", ".rollouts").exists()


@needs_vllm
def test_whole_weights_are_followed_and_a_dead_server_is_an_error(taught, tmp_path):
    def spoil(trainer: Any) -> None:
        engine, folder = trainer.policy_engine.server, str(tmp_path / "other")
        trainer.save_policy(folder)
        other = Rollouts(engine.job, engine.processor, engine.address, engine.models[0], lora=False)
        other.follow(folder, "policy-other-2")
        refused_as_stale(trainer)
        os.killpg(engine.server.process.pid, signal.SIGKILL)

    trainer = build(told(taught, tmp_path, tuner=["full"], max_steps=4, save_steps=1, beta=0))
    watch = watched(trainer, spoil)
    with pytest.raises(SwiftError, match=r"vLLM ended with exit code -9(?s:.)*out/vllm\.log"):
        trainer.train()
    assert watch.served == watch.own
    assert watch.own[0][0][1:] == (LESSONS[0]["response"], False)
    assert all(a != b for a, b in zip(watch.own, watch.own[1:], strict=False))
    assert sorted(p.name for p in Path(tmp_path, "out").glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]
    assert Path(tmp_path, "out", "checkpoint-2", "trainer_state.json").is_file()
