"""kubernetes: the manifest says what was asked, and is what Kubeflow's own models read (make test-kubernetes)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from swift_plugin_kubernetes import MANIFEST
from swift_testing.contracts import ComponentContract, bare_model

from swift_core.api import run
from swift_core.cli.work import given_by
from swift_core.contract.errors import SwiftError

ASKED = {
    "launcher": "kubernetes", "image": "registry/swift:1", "nnodes": 2, "gpus_per_node": 8, "cpus_per_node": 64,
    "memory": "500Gi", "volumes": ["runs:/runs", "hub:/cache/huggingface"], "pod_env": ["NCCL_DEBUG=INFO"],
    "secret_env": ["HF_TOKEN=hub/token"], "namespace": "team", "fsdp": True,
    "pod_options": {"dataset": ["/runs/a.jsonl", "/runs/b c.jsonl"]},
    "training_args": {"optim": "sgd"}, "learning_rate": 1e-5,
}  # fmt: skip


class TestKubernetes(ComponentContract):
    kind = "launcher"
    name = "kubernetes"
    options = {"image": "swift"}


def written(folder, **changes):
    """The manifest of a job, as a map."""
    options = {"model": bare_model(), "output_dir": str(folder), **ASKED, **changes}
    run("sft", **{name: value for name, value in options.items() if value is not None})
    return yaml.safe_load((folder / MANIFEST).read_text())


def test_the_manifest_says_what_was_asked(tmp_path):
    found = written(tmp_path / "My run_2")
    assert (found["apiVersion"], found["kind"]) == ("trainer.kubeflow.org/v1alpha1", "TrainJob")
    assert found["metadata"] == {"name": "swift-my-run-2", "namespace": "team"}
    trainer = found["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 8)
    assert trainer["resourcesPerNode"]["limits"] == {"cpu": "64", "memory": "500Gi", "nvidia.com/gpu": "8"}
    secret = {"secretKeyRef": {"name": "hub", "key": "token"}}
    assert trainer["env"] == [{"name": "NCCL_DEBUG", "value": "INFO"}, {"name": "HF_TOKEN", "valueFrom": secret}]
    (patch,) = found["spec"]["runtimePatches"]
    (job,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pods = job["template"]["spec"]["template"]["spec"]
    assert [v["persistentVolumeClaim"]["claimName"] for v in pods["volumes"]] == ["runs", "hub"]
    assert [m["mountPath"] for m in pods["containers"][0]["volumeMounts"]] == ["/runs", "/cache/huggingface"]


def test_a_pod_understands_its_words(tmp_path, monkeypatch):
    """Read as a pod reads them, with the variables that the runtime sets there."""
    from swift_core.job.prepare import prepare

    trainer = written(tmp_path / "run")["spec"]["trainer"]
    place = {"PET_NNODES": "2", "PET_NPROC_PER_NODE": "auto", "PET_NODE_RANK": "1", "PET_MASTER_ADDR": "swift-run-0"}
    for name, value in {**place, "PET_MASTER_PORT": "29400"}.items():
        monkeypatch.setenv(name, value)
    assert trainer["command"] == ["swift", "sft"]
    words = [
        word.replace("/runs/a", str(tmp_path / "a")).replace("/runs/b", str(tmp_path / "b")) for word in trainer["args"]
    ]
    for name in ("a.jsonl", "b c.jsonl"):
        (tmp_path / name).write_text("{}\n")
    job = prepare("sft", given_by(words))
    assert job.options.dataset == [str(tmp_path / name) for name in ("a.jsonl", "b c.jsonl")]
    assert job.options.resume_from_checkpoint == "auto"
    assert job.options.output_dir == "/runs/swift-run"
    trainer_options = job.one("trainer")
    assert trainer_options.training_args == {"optim": "sgd"} and trainer_options.learning_rate == 1e-5
    launcher = job.one("launcher")
    assert [c.entry.name for c in job.many("launcher")] == ["torchrun"]
    assert (launcher.nnodes, launcher.node_rank, launcher.nproc_per_node) == ("2", 1, None)
    assert (launcher.master_addr, launcher.master_port) == ("swift-run-0", 29400)


def test_kubeflow_s_models_read_it(tmp_path):
    """Nothing is left out by the classes that Kubeflow makes of its schema."""
    models = pytest.importorskip("kubeflow_trainer_api.models", reason="make test-kubernetes")
    for changes in ({}, {"volumes": None, "namespace": None, "memory": None, "pod_env": None, "secret_env": None}):
        found = written(tmp_path / str(len(changes)), **changes)
        read = models.TrainerV1alpha1TrainJob.from_dict(found)
        assert read.to_dict() == found


def test_what_cannot_be_is_refused(tmp_path, monkeypatch):
    for changes, reason in (
        ({"image": None}, "say --image"),
        ({"volumes": ["runs"]}, "CLAIM:/PATH"),
        ({"pod_env": ["A"]}, "NAME=VALUE"),
        ({"secret_env": ["A=b"]}, "NAME=SECRET/KEY"),
        ({"hub_token": "abc"}, "--hub_token is a key"),
    ):
        with pytest.raises(SwiftError, match=reason):
            written(tmp_path / "refused", **changes)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SwiftError, match="kubectl, which cannot be found"):
        written(tmp_path / "refused", submit=True)


def test_kubectl_gets_the_manifest_and_its_refusal_is_told(tmp_path, monkeypatch, capsys):
    program = tmp_path / "kubectl"
    program.write_text('#!/bin/sh\necho "applied $3"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    written(tmp_path / "run", submit=True)
    assert f"applied {Path(tmp_path, 'run', MANIFEST)}" in capsys.readouterr().out
    program.write_text("#!/bin/sh\necho no cluster >&2\nexit 1\n")
    with pytest.raises(SwiftError, match=r"kubectl refused .*: no cluster"):
        written(tmp_path / "again", submit=True)
