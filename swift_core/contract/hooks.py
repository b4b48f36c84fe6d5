"""The contract, in the order data flows. A component implements the hooks of its kind, and no others.

An implementation may take fewer arguments than the spec. `firstresult` hooks stop at the first answer that
is not None; the component registered last is asked first, so a family's own hook wins over the generic one.
`job` is the running `swift_core.job.Job`: `job.options`, `job.card`, `job.one("template")` …
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from swift_core.contract.engine import Engine, RolloutEngine, Server
    from swift_core.contract.job import Job
    from swift_core.contract.row import Row
    from swift_core.contract.source import Source

hookspec = pluggy.HookspecMarker("swift_core")
hookimpl = pluggy.HookimplMarker("swift_core")


# -- model and loader -------------------------------------------------------------------------------------
@hookspec(firstresult=True)
def resolve_checkpoint(job: Job, model: str, revision: str | None) -> str | None:
    """A local folder for a hub id or path. Raises SwiftError where it cannot be had, saying why."""


@hookspec(firstresult=True)
def load_config(job: Job, path: str) -> Any:
    """The model's config object from the local folder `path`."""


@hookspec(firstresult=True)
def quantization_config(job: Job, config: Any) -> Any:
    """The config that makes the loader quantize while it loads (transformers' `quantization_config`)."""


@hookspec(firstresult=True)
def load_model(job: Job, path: str, config: Any, quantization: Any) -> Any:
    """The model (a `torch.nn.Module`) in `job.options.torch_dtype`, in eval mode, on its device.

    A trainer whose engine reads the weights itself answers with the model's shape alone, on the device `meta`.

    .. versionchanged:: 0.2 trainers may implement it
    """


@hookspec(firstresult=True)
def load_processor(job: Job, path: str, config: Any) -> Any:
    """The tokenizer of a text model, or the processor (which holds a tokenizer) of a multimodal one."""


@hookspec
def patch_model(job: Job, model: Any) -> None:
    """Change the loaded model in place, before tuners are attached. Every implementation is called."""


@hookspec(firstresult=True)
def save_model(job: Job, model: Any, processor: Any, folder: str) -> bool | None:
    """Write model and processor so that the loader can read `folder` again. True when done."""


@hookspec(firstresult=True)
def quantize_model(job: Job, path: str, rows: Iterable[Row], folder: str) -> str | None:
    """Quantize the checkpoint `path` offline with calibration `rows`; returns the folder written."""


# -- data -------------------------------------------------------------------------------------------------
@hookspec(firstresult=True)
def load_rows(job: Job, source: Source) -> Iterable[dict[str, Any]] | None:
    """Raw rows of one data source, each with `_where` (file:line or id:index). None: not my source.

    An iterator that raises `BadRow` at one row and goes on at the next call lets `--strict false` skip it.
    """


@hookspec(firstresult=True)
def to_row(job: Job, raw: dict[str, Any], source: Source) -> Row | None:
    """One raw row in the standard form. None: leave it to the generic converter."""


# -- from rows to tokens ----------------------------------------------------------------------------------
@hookspec(firstresult=True)
def write_boxes(job: Job, text: str, row: Row) -> str | None:
    """`text` with each `<ref-object>` and `<bbox>` written in the model's convention.

    `row.objects` holds boxes in pixels of the original image as [x1, y1, x2, y2] (or points [x, y]);
    `row.image_sizes` holds (width, height) per image.
    """


@hookspec(firstresult=True)
def read_boxes(job: Job, text: str, width: int, height: int) -> list[dict[str, Any]] | None:
    """Boxes found in generated text: `[{"ref": str | None, "bbox": [x1, y1, x2, y2]}]` in pixels."""


@hookspec(firstresult=True)
def write_tools(job: Job, tools: list[dict[str, Any]], system: str) -> str | None:
    """The system text that introduces `tools` (OpenAI function schemas) after the user's own `system`."""


@hookspec(firstresult=True)
def write_calls(job: Job, calls: list[dict[str, Any]]) -> str | None:
    """Assistant text for calls `[{"name": str, "arguments": dict}]`; arguments are written as valid JSON.

    What stands between words and calls of one turn is the component's `before_calls` (a line break where it
    has none). With `beside = True` the calls stand behind the template's answer, not in it.
    """


@hookspec(firstresult=True)
def write_results(job: Job, results: list[str], calls: list[dict[str, Any]]) -> tuple[str, bool] | None:
    """Text for tool results, and whether it continues the assistant's turn (True) or is a turn of its own.

    calls: those that the results answer, in order; there may be fewer of either.
    """


@hookspec(firstresult=True)
def read_calls(job: Job, text: str) -> list[dict[str, Any]] | None:
    """The calls in an assistant's text, as `write_calls` takes them. [] where there is none."""


@hookspec(firstresult=True)
def weigh(job: Job, role: str, text: str, last: bool, query: str) -> list[tuple[str, float]] | None:
    """Loss weights of one turn: pieces that join to exactly `text`, each with its weight (0: not trained).

    role: who speaks. last: whether this is the final assistant turn. query: the user text before it.
    """


@hookspec(firstresult=True)
def encode(job: Job, rows: list[Row], processor: Any, generation: bool) -> list[dict[str, Any]] | None:
    """Rows as model inputs, one dict a row.

    `input_ids`, `labels` (-100: not trained) and, where weights differ from 0 and 1, `loss_scale`, are lists
    of equal length; media tensors stand beside them. generation: stop after the last assistant header and
    leave labels out.
    """


@hookspec(firstresult=True)
def decode(job: Job, ids: list[int], processor: Any) -> str | None:
    """The answer text of generated token ids, without the template's stop words."""


# -- training ---------------------------------------------------------------------------------------------
@hookspec(firstresult=True)
def attach_tuner(job: Job, model: Any, name: str) -> Any:
    """The model with this tuner added under the name `name`, and requires_grad set on what it trains.

    The model comes frozen, save for what earlier tuners train; that goes on training whatever is set here.
    """


@hookspec(firstresult=True)
def load_tuner(job: Job, model: Any, folder: str, name: str, trainable: bool) -> Any:
    """The model with the tuner saved in `folder` added under `name`, which need not be the name it was saved under.

    trainable: whether it is trained further; if not, nothing of it requires a gradient. None where the tuner saves
    nothing of its own.
    """


@hookspec(firstresult=True)
def set_tuners_aside(job: Job, model: Any, folder: str) -> AbstractContextManager[Collection[str]] | None:
    """A context in which earlier tuners are out of the model, while the one saved in `folder` is added, not to train.

    Entering it gives their names. For tuners of which a server holds many: whoever walks through the model then meets
    the new one alone. What is loaded must not change a name of theirs. None where they have to stay.

    .. versionadded:: 0.2
    """


@hookspec(firstresult=True)
def save_tuner(job: Job, model: Any, folder: str, name: str) -> bool | None:
    """Write what this tuner trained under `name` into `folder`, and no more. True when done.

    None or False where the tuner trains the model's own weights and leaves them to `save_model`. In the files, call
    nothing by `name`: it may be loaded under another.
    """


@hookspec(firstresult=True)
def merge_tuner(job: Job, model: Any, name: str) -> Any:
    """The model with the tuner folded into plain weights, of the base model's class.

    Of several tuners the one that was attached last is asked first. Raises SwiftError where it cannot be folded in.
    """


@hookspec(firstresult=True)
def switch_tuner(job: Job, model: Any, name: str, active: bool, offload: str) -> bool | None:
    """Let the tuner `name` take part in the model's forward pass, or not. True when done.

    offload: where the weights of an inactive tuner stay: `none` (where they are), `cpu`, or `meta` (on disk, no
    memory). A tuner that cannot be left out does not implement this.
    """


@hookspec
def before_step(job: Job, model: Any, optimizer: Any, step: int, total: int) -> None:
    """Called before the forward passes of optimizer step `step` of `total`, counted from 0; every tuner is asked."""


@hookspec
def after_step(job: Job, model: Any, optimizer: Any, step: int, total: int) -> None:
    """Called after the optimizer took step `step`, its gradients still there; every tuner is asked."""


@hookspec
def extra_loss(job: Job, model: Any) -> Any:
    """A scalar tensor that the method adds to the training loss of every batch, a penalty for instance; or None."""


@hookspec(firstresult=True)
def create_optimizer(job: Job, model: Any) -> Any:
    """A `torch.optim.Optimizer` over the model's trainable parameters."""


@hookspec
def check_job(job: Job) -> None:
    """Refuse, with a SwiftError, what this trainer cannot do; called before data and model are loaded.

    .. versionadded:: 0.2
    """


@hookspec(firstresult=True)
def data_share(job: Job) -> tuple[int, int] | None:
    """(which share of the rows this process trains on, counted from 0; how many shares there are).

    None: each process has a share of its own. Where there are fewer shares than processes, neighbours have the same.

    .. versionadded:: 0.2
    """


@hookspec
def split_model(job: Job, model: Any, device: Any) -> str | None:
    """Share the work of `model` among the processes, in place; every implementation is called, in all processes.

    Called once the tuners are attached and before the optimizer is made; also for a frozen reference model. device: a
    `torch.device`. Returns a line for the user that says how. Raises SwiftError, in all processes alike, for a model
    that cannot be shared.

    .. versionadded:: 0.2
    """


@hookspec(firstresult=True)
def build_trainer(job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Any:
    """An object with `train(resume_from_checkpoint)`, `evaluate()`, `save_model(folder)` and `state`; it may
    have `best_checkpoint()`: a folder, or None where the newest is meant; and `stopped_by`: the number of the signal
    for which it saved a checkpoint and stopped, or None; and `from_first(value)`: the first process's value, on all.

    rows, eval_rows: sequences of `Row`; eval_rows may be None.
    """


@hookspec(firstresult=True)
def score(job: Job, rows: list[Row], completions: list[str]) -> list[float | None] | None:
    """One reward per completion, in order; a completion belongs to the row at its place.

    None in the list: this reward abstains on that completion, which is then judged by the other rewards alone. A
    completion on which every reward abstains is not learnt from, nor kept by `swift sample`.
    """


@hookspec(firstresult=True)
def respond(job: Job, row: Row) -> list[dict[str, Any]] | None:
    """What the world says to the model's answer, during rollouts of several turns: messages to go on from.

    row: the conversation so far, the model's answer last, with the tools, media and other columns of its data set.
    Messages are tool results or a user's words, as in `Row.messages`. None or []: this environment has nothing to
    say. Of several environments, the first in option order that responds is heard; where none does, the conversation
    is over.
    """


@hookspec(firstresult=True)
def launch(job: Job, command: list[str]) -> int | None:
    """Run `command` (a Python module and its arguments) on every process; returns the exit code."""


@hookspec(firstresult=True)
def start_rollouts(job: Job, folder: str, address: dict[str, str] | None, processor: Any) -> RolloutEngine | None:
    """An engine that draws the answers of rollouts for a training job: the backend of --rollout_backend.

    folder: the policy as saved now: an adapter of `job.options.model`, or whole weights. address: of an engine that
    another process of the run started; None: start one, or connect to the one that the user named. processor: the
    job's, which reads the answers.
    """


# -- after training ---------------------------------------------------------------------------------------
@hookspec(firstresult=True)
def start_engine(job: Job) -> Engine | None:
    """A running engine for `job.options.model` and its adapters."""


@hookspec(firstresult=True)
def open_server(job: Job) -> Server | None:
    """A server that has its port and waits for an engine. SwiftError where the port is not to be had.

    .. versionadded:: 0.2
    """


@hookspec(firstresult=True)
def evaluate(job: Job, engine: Engine, sets: list[Any]) -> Iterable[dict[str, Any]] | None:
    """Reports, one per data set, in order: `{"name", "metrics": {metric: value}, "rows": n, "file": results}`.

    sets: the data sets to measure, as `swift_core.evaluation.sets.EvalSet`. A report given with `yield` as soon as its
    data set is measured is kept where a later one fails. Shares stand as 0 … 1; metrics that are no shares are named in
    the report's `numbers`, parts of the data set with metrics of their own in its `subsets`, the first metric is the
    one that sums it up. The engine starts when it is first used, so read the data before.

    .. versionchanged:: 0.2 `sets`
    """


@hookspec(firstresult=True)
def export_model(job: Job) -> str | None:
    """Write the export and return the folder it stands in."""


@hookspec(firstresult=True)
def upload_folder(job: Job, folder: str) -> str | None:
    """Put the files of a folder into the repository --hub_model_id of the hub in use; returns its address.

    Asked of the loader, which knows the hubs. SwiftError where the hub cannot be reached or refuses.

    .. versionadded:: 0.2
    """
