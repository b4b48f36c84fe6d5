"""Kubernetes: writes a job as a TrainJob of Kubeflow Trainer, and gives it to the cluster where asked to.

The fields are those of trainer.kubeflow.org/v1alpha1 as the package kubeflow-trainer-api 2.3.0 has them. The runtime
`torch-distributed` sets torchrun's variables (PET_NNODES …) in each pod, which `swift` itself understands.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Launcher
from swift_core.contract.job import Job
from swift_core.job.options import HANDED, match_field

MANIFEST = "trainjob.yaml"
"""Name of the manifest in the output folder."""

GPU = "nvidia.com/gpu"
"""What clusters call a GPU of NVIDIA's among their resources."""

NODE = "node"
"""The name that Kubeflow's runtimes give to the pods that train, and to their container."""


@dataclass(kw_only=True, eq=False)
class Kubernetes(Launcher):
    """Writes a TrainJob of Kubeflow Trainer for the job; --submit true gives it to the cluster by kubectl."""

    swift_api = 1

    image: str | None = option(None, "Container image that has swift and the plugins of the job.")
    nnodes: int = option(1, "Pods, one on each machine.", ge=1)
    nproc_per_node: int | None = option(None, "Processes in each pod; left out: one per GPU, or one.", ge=1)
    gpus_per_node: int = option(0, "GPUs of each pod.", ge=0)
    cpus_per_node: int | None = option(None, "CPUs of each pod.", ge=1)
    memory: str | None = option(None, "Memory of each pod, as Kubernetes writes it: 64Gi.")
    gpu_resource: str = option(GPU, "What the cluster calls a GPU.")
    volumes: list[str] = option([], "Volumes as CLAIM:/PATH; the first holds the output.")
    pod_output_dir: str | None = option(
        None, "Output folder in the pods; left out: the job's name in the first volume."
    )
    pod_options: dict[str, Any] = option(
        {}, 'JSON of options as the pods have them, where paths there are others: {"dataset": "/data/rows.jsonl"}.'
    )
    pod_env: list[str] = option([], "Variables of the pods as NAME=VALUE.")
    secret_env: list[str] = option([], "Variables from Kubernetes secrets as NAME=SECRET/KEY: HF_TOKEN=hub/token.")
    job_name: str | None = option(None, "Name of the TrainJob; left out: that of the output folder.")
    namespace: str | None = option(None, "Namespace; left out: kubectl's own.")
    runtime: str = option("torch-distributed", "ClusterTrainingRuntime that the cluster has for torch.")
    submit: bool = option(False, "Give the manifest to the cluster with kubectl.")

    @hookimpl
    def check_job(self, job: Job) -> None:
        """Refuse what makes no manifest, and a machine without kubectl where one is needed. Raises SwiftError."""
        if "LOCAL_RANK" in os.environ:
            return
        if not self.image:
            raise SwiftError("--launcher kubernetes runs a container: say --image with one that has swift in it.")
        if self.submit and shutil.which("kubectl") is None:
            raise SwiftError(
                "--submit true needs kubectl, which cannot be found; leave it out, and apply the manifest."
            )

    @hookimpl
    def launch(self, job: Job, command: list[str]) -> int:
        folder = Path(job.options.output_dir or ".")
        name = self.job_name or _name_of(folder)
        file = folder / MANIFEST
        text = yaml.safe_dump(self.manifest(job, name), sort_keys=False, allow_unicode=True, width=1000)
        file.write_text(text, encoding="utf-8")
        if not self.volumes:
            job.say("No --volumes: what the job writes is lost with its pods.")
        job.say(f"{file} is written. kubectl apply -f {file}" if not self.submit else f"{file}: kubectl apply")
        return _applied(file) if self.submit else 0

    def layout(self) -> tuple[str, int | None]:
        """--nnodes, and the processes in each pod."""
        return str(self.nnodes), self.processes()

    def processes(self) -> int:
        """Processes in each pod."""
        return self.nproc_per_node or self.gpus_per_node or 1

    def manifest(self, job: Job, name: str) -> dict[str, Any]:
        """The TrainJob as a map. Raises SwiftError for volumes or variables that are none, and for keys."""
        place = {"name": name, **({"namespace": self.namespace} if self.namespace else {})}
        trainer: dict[str, Any] = {
            "image": self.image,
            "command": ["swift", job.spec.name],
            "args": self.words(job, name),
            "numNodes": self.nnodes,
            "numProcPerNode": self.processes(),
        }
        if variables := [*map(_variable, self.pod_env), *map(_secret, self.secret_env)]:
            trainer["env"] = variables
        if resources := self.resources():
            trainer["resourcesPerNode"] = {"requests": resources, "limits": resources}
        spec: dict[str, Any] = {"runtimeRef": {"name": self.runtime}, "trainer": trainer}
        if self.volumes:
            spec["runtimePatches"] = [_patch([_volume(text) for text in self.volumes])]
        return {"apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "TrainJob", "metadata": place, "spec": spec}

    def resources(self) -> dict[str, str]:
        """What each pod takes of its machine."""
        said = {"cpu": self.cpus_per_node, "memory": self.memory, self.gpu_resource: self.gpus_per_node or None}
        return {name: str(value) for name, value in said.items() if value is not None}

    def words(self, job: Job, name: str) -> list[str]:
        """The words behind `swift JOB` in a pod: what the user said, without this launcher and its options.

        Raises SwiftError where a key is among them.
        """
        if keys := json.loads(os.environ.get(HANDED, "{}")):
            raise SwiftError(
                f"--{min(keys)} is a key, which would stand in the manifest. Leave it out, and let the pods have it as "
                "a variable from a secret: --secret_env HF_TOKEN=SECRET/KEY."
            )
        own = {"launcher", "output_dir", *(g.key for g in job.given if match_field(type(self), g.key))}
        said = {g.key: g.value for g in job.given if g.key.removeprefix("kubernetes.") not in own}
        said.setdefault("resume_from_checkpoint", "auto")  # a pod that is started again goes on
        said |= self.pod_options
        said["output_dir"] = self.pod_output_dir or self._in_first_volume(name) or str(job.options.output_dir)
        return [word for key, value in said.items() for word in _words(key, value)]

    def _in_first_volume(self, name: str) -> str | None:
        return str(PurePosixPath(_volume(self.volumes[0])[1], name)) if self.volumes else None


def _words(key: str, value: Any) -> Iterator[str]:
    """An option as words of a command line, from which it is read as the same value."""
    values = value if isinstance(value, list) else [value]
    texts = [json.dumps(v) if isinstance(v, dict | bool) or v is None else str(v) for v in values]
    if len(texts) > 1 and any(text.startswith("--") for text in texts):
        raise SwiftError(f"--{key}: of several values none may begin with two dashes; put them into a --config file.")
    if texts:
        yield from [f"--{key}={texts[0]}"] if len(texts) == 1 else [f"--{key}", *texts]


def _name_of(folder: Path) -> str:
    """A folder's name as Kubernetes allows names: letters, digits and dashes, from a letter on, 50 at most."""
    plain = re.sub(r"[^a-z0-9]+", "-", folder.absolute().name.lower()).strip("-")
    return f"swift-{plain}"[:50].rstrip("-")


def _variable(text: str) -> dict[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise SwiftError(f"--pod_env {text}: a variable is written NAME=VALUE.")
    return {"name": name, "value": value}


def _secret(text: str) -> dict[str, Any]:
    matched = re.fullmatch(r"([^=]+)=([^/]+)/([^/]+)", text)
    if not matched:
        raise SwiftError(f"--secret_env {text}: a variable from a secret is written NAME=SECRET/KEY.")
    return {"name": matched[1], "valueFrom": {"secretKeyRef": {"name": matched[2], "key": matched[3]}}}


def _volume(text: str) -> tuple[str, str]:
    """(claim, path) of `CLAIM:/PATH`."""
    claim, _, path = text.partition(":")
    if not (claim and path.startswith("/")):
        raise SwiftError(f"--volumes {text}: a volume is written CLAIM:/PATH, the claim's name and where pods see it.")
    return claim, path


def _patch(volumes: list[tuple[str, str]]) -> dict[str, Any]:
    """What is added to the runtime's pods: claims, and where their container sees them."""
    pods = {
        "volumes": [
            {"name": f"volume-{n}", "persistentVolumeClaim": {"claimName": c}} for n, (c, _) in enumerate(volumes)
        ],
        "containers": [
            {
                "name": NODE,
                "volumeMounts": [{"name": f"volume-{n}", "mountPath": p} for n, (_, p) in enumerate(volumes)],
            }
        ],
    }
    job = {"name": NODE, "template": {"spec": {"template": {"spec": pods}}}}
    return {"manager": "swift.core/launcher", "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [job]}}}}


def _applied(file: Path) -> int:
    """Give a manifest to the cluster. SwiftError with kubectl's own words where it is refused."""
    done = subprocess.run(["kubectl", "apply", "-f", str(file)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SwiftError(f"kubectl refused {file}: {done.stderr.strip()}")
    print(done.stdout.strip())
    return 0
