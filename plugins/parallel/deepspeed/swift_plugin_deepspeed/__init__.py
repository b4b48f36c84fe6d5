"""DeepSpeed's ZeRO (Rajbhandari et al., arXiv 1910.02054): stages 0 to 3, with offload to the CPU."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Parallel, Trainer, declared
from swift_core.contract.job import Job

STAGES = ("zero0", "zero1", "zero2", "zero3", "zero2_offload", "zero3_offload")
"""Values of --deepspeed that are no file."""

BUILDERS = ("ninja", "g++")
"""Programs with which DeepSpeed builds its operators when they are first used."""


@dataclass(kw_only=True, eq=False)
class DeepSpeed(Parallel):
    """Optimizer state, gradients and parameters are split among processes by DeepSpeed's ZeRO."""

    swift_api = 1
    engine = "deepspeed"

    deepspeed: str | None = option(None, "zero0 … zero3, zero2_offload, zero3_offload, or a JSON file.")

    @property
    def active(self) -> bool:  # type: ignore[override]  # it depends on the options
        """Whether DeepSpeed makes the steps."""
        return bool(self.deepspeed)

    def engine_settings(self) -> dict[str, Any]:
        """DeepSpeed's settings. Raises SwiftError for a file that is none."""
        return zero_settings(self.deepspeed or "zero0")

    @hookimpl
    def check_job(self, job: Job) -> None:
        """Refuse what would fail after the model is loaded, or would never end."""
        from swift_plugin_runtime.training.parts import check_packed

        if not (job.options.launcher or "LOCAL_RANK" in os.environ):
            raise SwiftError("--deepspeed splits the model among processes; say how many: --launcher torchrun.")
        settings = self.engine_settings()
        splits = settings.get("zero_optimization", {}).get("stage") == 3
        if splits:
            check_packed(job, "--deepspeed with ZeRO 3")
        if importlib.util.find_spec("deepspeed") is None:
            raise SwiftError("DeepSpeed is not installed: pip install 'swift-plugin-deepspeed[engine]'")
        _check_builders(job)
        draws = declared(job.one("trainer"), Trainer, "draws") and not job.options.rollout_backend
        if draws and splits:
            raise SwiftError(
                "--deepspeed with ZeRO 3 gathers weights at each call of the model, on all processes at once; answers "
                "that a process draws take as many calls as they are long, and the others would wait for ever. Say "
                "--deepspeed zero2, or let a --rollout_backend draw."
            )


def _check_builders(job: Job) -> None:
    """Without a GPU, DeepSpeed builds an operator for its processes to meet."""
    import torch

    if torch.cuda.is_available() and job.options.device != "cpu":
        return
    lacking = [name for name in BUILDERS if shutil.which(name) is None]
    if lacking:
        raise SwiftError(
            f"--deepspeed on a CPU builds an operator first, and {' and '.join(lacking)} cannot be found. Install "
            "them (pip install ninja, apt install g++), or say --fsdp true."
        )


def zero_settings(name: str) -> dict[str, Any]:
    """DeepSpeed's settings for --deepspeed: zero0 … zero3, with `_offload` on the CPU, or a JSON file's.

    Raises SwiftError for any other name, and for a file that is not JSON.
    """
    if name not in STAGES:
        return _settings_from(name)
    stage, offload = int(name[4]), name.endswith("_offload")
    on_cpu = {"device": "cpu", "pin_memory": True}
    return {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": "auto"},
        "zero_force_ds_cpu_optimizer": False,
        "zero_optimization": {
            "stage": stage,
            "contiguous_gradients": True,
            "reduce_bucket_size": "auto",
            **({"offload_optimizer": on_cpu} if offload else {}),
            **({"offload_param": on_cpu} if offload and stage == 3 else {}),
            **(_STAGE_3 if stage == 3 else {}),
        },
    }


_STAGE_3 = {
    "stage3_prefetch_bucket_size": "auto",
    "stage3_param_persistence_threshold": "auto",
    "stage3_gather_16bit_weights_on_model_save": True,
}


def _settings_from(name: str) -> dict[str, Any]:
    try:
        settings = json.loads(Path(name).read_text(encoding="utf-8"))
    except OSError:
        raise SwiftError(f"--deepspeed {name}: neither one of {', '.join(STAGES)} nor a JSON file.") from None
    except ValueError as error:
        raise SwiftError(f"--deepspeed {name} is not valid JSON: {error}") from None
    if not isinstance(settings, dict):
        raise SwiftError(f"--deepspeed {name} must hold a JSON object, found {type(settings).__name__}.")
    return settings
