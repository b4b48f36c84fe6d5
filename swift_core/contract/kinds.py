"""The table of kinds: every sort of component, its entry-point group and the hooks it may implement."""

from __future__ import annotations

from dataclasses import dataclass

from swift_core.contract.errors import SwiftError, did_you_mean


@dataclass(frozen=True)
class Kind:
    """One row of the table.

    name: singular, as written on the command line. group: the entry-point group.
    what: one sentence for the docs. hooks: names in `swift_core.contract.hooks`, in the order data flows.
    per_job: how many a job may choose: "1", "0-1" or "any". folder: where first-party plugins live.
    """

    name: str
    group: str
    what: str
    hooks: tuple[str, ...]
    per_job: str
    folder: str

    def words(self) -> tuple[str, ...]:
        """What users may call it: singular and plural."""
        return self.name, self.folder, self.name + "s"


def _row(name: str, plural: str, per_job: str, hooks: str, what: str) -> Kind:
    return Kind(name, f"swift_core.{plural}", what, tuple(hooks.split()), per_job, plural)


_ROWS = (
    _row(
        "model",
        "models",
        "1",
        "load_config load_model load_processor patch_model encode",
        "A model family: its card of facts, and hooks where it differs from the generic path.",
    ),
    _row(
        "loader",
        "loaders",
        "1",
        "resolve_checkpoint load_config load_model load_processor save_model upload_folder encode decode",
        "Finds a checkpoint and turns it into config, model and processor.",
    ),
    _row(
        "quantizer",
        "quantizers",
        "0-1",
        "quantization_config patch_model quantize_model",
        "Stores weights in few bits, at load time or offline.",
    ),
    _row(
        "patcher",
        "patchers",
        "any",
        "patch_model",
        "Mends or speeds up a loaded model in place.",
    ),
    _row(
        "dataset",
        "datasets",
        "any",
        "load_rows to_row",
        "Reads rows from a place, or brings one published data set into the standard row.",
    ),
    _row(
        "template",
        "templates",
        "1",
        "encode decode",
        "The chat format: who speaks how, and what is trained.",
    ),
    _row(
        "bbox",
        "bbox",
        "1",
        "write_boxes read_boxes",
        "Writes boxes the way a model was taught to, and reads them back as pixels.",
    ),
    _row(
        "agent",
        "agents",
        "1",
        "write_tools write_calls write_results read_calls",
        "Writes tools and tool calls as text, and reads the calls back.",
    ),
    _row(
        "loss_scale",
        "loss_scales",
        "1",
        "weigh",
        "Says how much each piece of an answer counts in the loss.",
    ),
    _row(
        "tuner",
        "tuners",
        "any",
        "attach_tuner load_tuner set_tuners_aside save_tuner merge_tuner switch_tuner before_step after_step "
        "extra_loss",
        "Decides which parameters train, and adds new ones.",
    ),
    _row(
        "optimizer",
        "optimizers",
        "0-1",
        "create_optimizer",
        "Builds the optimizer when the default AdamW is not wanted.",
    ),
    _row(
        "trainer",
        "trainers",
        "1",
        "check_job load_model build_trainer",
        "A training method: pt, sft, dpo, grpo …",
    ),
    _row(
        "reward",
        "rewards",
        "any",
        "score",
        "Scores completions for reinforcement learning and sampling.",
    ),
    _row(
        "environment",
        "environments",
        "any",
        "respond",
        "The world of a rollout: a tool, a simulator or a user that responds to the model's answers, turn by turn.",
    ),
    _row(
        "parallel",
        "parallel",
        "any",
        "check_job data_share split_model",
        "Shares one training step among processes: the rows, their tokens, or the weights.",
    ),
    _row(
        "launcher",
        "launchers",
        "0-1",
        "check_job launch",
        "Starts a job on several processes.",
    ),
    _row(
        "backend",
        "backends",
        "1",
        "start_rollouts start_engine",
        "Generates answers: batched, streaming, adapters by name; or draws them for a training run.",
    ),
    _row(
        "server",
        "servers",
        "0-1",
        "open_server",
        "Puts a running engine behind a network interface.",
    ),
    _row(
        "evaluator",
        "evaluators",
        "any",
        "evaluate",
        "Measures a model on data sets.",
    ),
    _row(
        "exporter",
        "exporters",
        "any",
        "export_model",
        "Turns a checkpoint into another format.",
    ),
    _row(
        "recipe",
        "recipes",
        "any",
        "",
        "A whole job as data: model, data, method and sound values; `swift recipes run NAME` starts it.",
    ),
    _row(
        "command",
        "commands",
        "any",
        "",
        "A Typer application that becomes `swift NAME`.",
    ),
)

KINDS: dict[str, Kind] = {row.name: row for row in _ROWS}


def find_kind(word: str) -> Kind:
    """The kind called `word`, singular or plural, dashes or underscores; a `SwiftError` if there is none."""
    name = word.replace("-", "_")
    for row in _ROWS:
        if name in row.words():
            return row
    raise SwiftError(f"There is no kind {word!r}.{did_you_mean(name, KINDS)} Kinds: {', '.join(sorted(KINDS))}.")
