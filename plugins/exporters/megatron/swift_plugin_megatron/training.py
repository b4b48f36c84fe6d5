"""A training job on Megatron-Core: what it can do here, its work as files, and its checkpoints put in place."""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from swift_core import SwiftError
from swift_core.catalogue.entries import Catalogue
from swift_core.catalogue.venvs import of_entry
from swift_core.contract.job import Job
from swift_core.jobs.checkpoints import STATE, put_in_place, rotate
from swift_plugin_megatron.architectures import architecture_of
from swift_plugin_megatron.files import LATEST, copy_beside

if TYPE_CHECKING:
    from swift_plugin_megatron.trainers import MegatronTrainer

ENGINE = Path(__file__).parent / "engine"


def has_cuda() -> bool:
    """Whether this machine has a GPU that Megatron-Core can train on."""
    return torch.cuda.is_available()


def variables() -> dict[str, str]:
    """The environment of Megatron-Core's processes: ours, without our own packages."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


# -- what can be done -------------------------------------------------------------------------------------
def check(job: Job, trainer: MegatronTrainer) -> None:
    """SwiftError for what Megatron-Core cannot do here."""
    if not has_cuda():
        raise SwiftError("Megatron-Core trains on NVIDIA GPUs alone, and there is none here. Take --trainer sft or pt.")
    if [item.entry.name for item in job.many("tuner")] != ["full"] or job.options.adapters:
        raise SwiftError("Megatron-Core trains whole weights here: say --tuner full, and merge adapters before.")
    if job.options.new_special_tokens:
        raise SwiftError("Megatron-Core's trainers add no tokens; leave --new_special_tokens out.")
    if job.options.torch_dtype != "auto":
        raise SwiftError("Megatron-Core trains in the checkpoint's own precision; leave --torch_dtype out.")
    processes, each = processes_of(trainer), together(trainer)
    if processes % each or (processes // trainer.pipeline_parallel_size) % trainer.expert_parallel_size:
        raise SwiftError(
            f"{processes} processes (--megatron_processes) do not make whole groups of {each} that share a row, and "
            f"of {trainer.expert_parallel_size} that share experts."
        )


def processes_of(trainer: MegatronTrainer) -> int:
    """How many processes train."""
    return trainer.megatron_processes or torch.cuda.device_count()


def together(trainer: MegatronTrainer) -> int:
    """How many processes share a row: its layers, products and tokens."""
    sizes = trainer.sizes()
    return sizes["tensor"] * sizes["pipeline"] * sizes["context"]


def check_shape(config: Any, sizes: dict[str, int]) -> None:
    """SwiftError for a model that cannot be shared so."""
    architecture = architecture_of(config)
    count = getattr(config, architecture.experts) if architecture.experts else 1
    width = getattr(config, architecture.facts.get("moe_ffn_hidden_size", "intermediate_size"))
    column = f"columns of {'an expert' if architecture.experts else 'the MLP'}"
    shared = {
        "tensor": {
            "key heads": config.num_key_value_heads or config.num_attention_heads,
            "words of the vocabulary": config.vocab_size,
            **({column: width} if sizes["expert"] == 1 else {}),  # else an expert is not shared
        },
        "pipeline": {"layers": config.num_hidden_layers},
        "expert": {"experts": count},
    }
    for way, parts in shared.items():
        for what, number in parts.items():
            if number % sizes[way]:
                raise SwiftError(f"--{way}_parallel_size {sizes[way]} does not divide the model's {number} {what}.")


def shape_of(config: Any) -> Any:
    """A model of transformers on the device `meta`."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


# -- a run ------------------------------------------------------------------------------------------------
@dataclass
class State:
    """Where a run stands."""

    global_step: int = 0
    max_steps: int = 0
    log_history: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Outcome:
    """What a run gives. metrics: the figures of its last step."""

    metrics: dict[str, Any]


class Run:
    """Trains with Megatron-Core. config: the model's, of transformers. rows: the job's, which are encoded here."""

    def __init__(self, job: Job, trainer: MegatronTrainer, config: Any, processor: Any, rows: Any):
        self.job, self.trainer, self.config, self.processor = job, trainer, config, processor
        self.rows = trainer.encoded(job, processor, rows)
        self.folder = Path(job.options.output_dir)
        self.state = State(max_steps=self._steps())

    def _steps(self) -> int:
        if self.job.options.max_steps > 0:
            return int(self.job.options.max_steps)
        trainer = self.trainer
        copies = processes_of(trainer) // together(trainer)
        each = copies * trainer.per_device_train_batch_size * trainer.gradient_accumulation_steps
        return trainer.num_train_epochs * math.ceil(len(self.rows) / each)

    def train(self, resume_from_checkpoint: str | None = None) -> Outcome:
        """Train to the last step. Raises SwiftError where Megatron-Core's processes fail."""
        environment = of_entry(Catalogue.installed().find("exporter", "megatron"))
        assert environment is not None
        python = environment.create()
        with tempfile.TemporaryDirectory(prefix="swift-megatron-") as place:
            file = Path(place, "work.json")
            file.write_text(json.dumps(self._work(Path(place), resume_from_checkpoint)), encoding="utf-8")
            words = ["--standalone", "--nproc_per_node", str(processes_of(self.trainer)), str(ENGINE / "train.py")]
            self._follow([str(python), "-m", "torch.distributed.run", *words, str(file)])
        return Outcome(self.state.log_history[-1] if self.state.log_history else {})

    def save_model(self, folder: str) -> None:
        """Never needed: every run ends with a checkpoint of its last step. Raises SwiftError."""
        raise SwiftError(f"Megatron-Core ended before {folder} was saved.")

    def _work(self, place: Path, resume: str | None) -> dict[str, Any]:
        rows = place / "rows.jsonl"
        with rows.open("w", encoding="utf-8") as stream:
            stream.writelines(json.dumps({"sides": [_plain(side) for side in row]}) + "\n" for row in self.rows)
        trainer, steps = self.trainer, self.state.max_steps
        return {
            "model": None if resume and trainer.beta is None else str(self._source(place)),
            "beta": trainer.beta,
            "resume": resume and str(Path(resume).resolve()),
            "rows": str(rows),
            "out": str(self.folder.resolve()),
            "sizes": trainer.sizes(),
            "micro_batch": trainer.per_device_train_batch_size,
            "accumulation": trainer.gradient_accumulation_steps,
            "seed": self.job.options.seed,
            "steps": steps,
            "schedule": {
                "style": trainer.lr_scheduler_type,
                "warmup": min(math.ceil(steps * trainer.warmup_ratio), steps - 1),
            },
            "optimizer": {
                "lr": trainer.learning_rate,
                "weight_decay": trainer.weight_decay,
                "adam_beta1": trainer.adam_beta1,
                "adam_beta2": trainer.adam_beta2,
                "clip_grad": trainer.max_grad_norm,
            },
            "logging_steps": trainer.logging_steps,
            "save_steps": trainer.save_steps,
        }

    def _source(self, place: Path) -> Path:
        """The model as Megatron-Core reads it: as it is, or converted for this run."""
        from swift_plugin_megatron import write

        options = self.job.options
        path = Path(
            self.job.hook.resolve_checkpoint(job=self.job, model=options.model, revision=options.model_revision)
        )
        if (path / LATEST).is_file():
            return path
        made = place / "model"
        made.mkdir()
        write(self.job, path, self.config, made)
        return made

    def _follow(self, command: list[str]) -> None:
        """Run Megatron-Core and tell what it tells. Raises SwiftError with its last words where it fails."""
        log = self.folder / "megatron.log"
        with log.open("w", encoding="utf-8") as errors:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, env=variables(), cwd=str(self.folder)
            )
            try:
                assert process.stdout is not None
                for event in _events(process.stdout):
                    self._take(event)
                code = process.wait()
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
        if code:
            raise SwiftError(f"Megatron-Core failed; its words are in {log}. The last: {_last_words(log)}")

    def _take(self, event: dict[str, Any]) -> None:
        if "log" in event:
            figures = event["log"]
            self.state.log_history.append(figures)
            with (self.folder / "logging.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(figures) + "\n")
            self.job.say(f"step {figures['step']} of {self.state.max_steps}: loss {figures['loss']:.4f}")
        else:
            self._place(Path(event["saved"]), event["step"])

    def _place(self, staged: Path, step: int) -> None:
        """Make a whole checkpoint of what Megatron-Core wrote: config, tokenizer, lock, state, its name."""
        self.state.global_step = step
        copy_beside(Path(self.config.name_or_path), staged)
        self.processor.save_pretrained(staged)  # with the template that was trained
        told = {"global_step": step, "max_steps": self.state.max_steps, "log_history": self.state.log_history}
        (staged / STATE).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        self.job.write_lock(staged)
        final = self.folder / f"checkpoint-{step}"
        put_in_place(staged, final)
        rotate(final, self.trainer.save_total_limit, None)


def _plain(row: dict[str, Any]) -> dict[str, list[Any]]:
    """What Megatron-Core needs of an encoded row, as lists."""
    return {name: list(row[name]) for name in ("input_ids", "labels", "loss_scale") if name in row}


def _events(lines: Any) -> Iterator[dict[str, Any]]:
    """The JSON objects among the lines; what libraries print besides is left out."""
    for line in lines:
        if line.startswith('{"'):
            yield json.loads(line)


def _last_words(log: Path) -> str:
    """The last error in the log of torchrun's processes."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line for line in lines if "Error" in line and "ChildFailedError" not in line]
    return (errors or lines or ["none"])[-1].strip()[-600:]
