"""What a component of each kind may declare beside its hooks: one base class per kind.

A component inherits the class of its kind and sets what differs from the default; one that does not inherit it may set
the same attributes. Code that reads an attribute asks `declared`, which knows the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.contract.capability import Capability
from swift_core.contract.cards import Family
from swift_core.contract.recipes import Recipe

if TYPE_CHECKING:
    from swift_core.contract.engine import Request


@dataclass(frozen=True)
class Requirements:
    """What an isolated environment holds: packages to install, then packages to take out again.

    before: what must be there already when packages of `install` are built. size: what the user is told before they
    are fetched, for instance `about 3 GB`. overrides: lines for `uv pip install --overrides`, which replace what the
    packages demand of others: `torch==2.13.0`, or `triton; sys_platform == 'never'` for one to be left out.
    """

    install: tuple[str, ...]
    remove: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    size: str = field(default="", repr=False)  # an environment's folder is named by the representation
    overrides: tuple[str, ...] = field(default=(), repr=False)  # and by these, where there are any


class Component:
    """What a component of any kind may declare."""

    swift_api: ClassVar[int]
    """The number of the contract that it was written for: 1. Every component sets it."""

    summary: ClassVar[str] = ""
    """One line for lists, where the first line of the docstring is not meant."""

    capabilities: ClassVar[Mapping[str, Capability]] = {}
    """Feature → Supported, Unsupported(reason) or Experimental(note). A job asks before it loads anything."""


class Loader(Component):
    """A loader of checkpoints."""


class Quantizer(Component):
    """A quantizer."""

    needs_rows: ClassVar[bool] = True
    """Whether `quantize_model` calibrates on rows; False: `swift export` asks for no data set."""

    reads: ClassVar[tuple[str, ...]] = ()
    """Values of `quant_method` in a checkpoint's config.json that it can load."""

    stages: ClassVar[Mapping[str, Capability] | property] = {}
    """QAT, QLoRA, PTQ → whether quantized weights train, adapters train on them, and they can be exported. A job asks
    before it loads anything. A property where it depends on options."""

    takes_parts: ClassVar[bool | property] = False
    """Whether a weight that it packed may be cut among processes, and is itself again where the bits are joined."""

    environment: ClassVar[Requirements | None] = None
    """Packages for an isolated environment, where they do not fit beside the others; made at the first use."""


class Patcher(Component):
    """A patcher of loaded models."""


class Dataset(Component):
    """A source of rows, or one published data set (`swift_core.data.published.Published`), which declares more."""

    modelscope: ClassVar[str] = ""
    """Of a published data set: its id on ModelScope."""

    huggingface: ClassVar[str] = ""
    """Of a published data set: its id on Hugging Face."""

    task: ClassVar[str] = ""
    """Of a published data set: what it is for."""

    modality: ClassVar[tuple[str, ...]] = ()
    """Of a published data set: what its rows hold, of text, image, video, audio."""

    language: ClassVar[tuple[str, ...]] = ()
    """Of a published data set: its languages as two letters, or `many`, or `code`; empty: not known."""

    aliases: ClassVar[tuple[str, ...]] = ()
    """Of a published data set: its other names, each an entry point as well."""

    file: ClassVar[str] = ""
    """Of a published data set: the file that describes it, so that a list sees when it changes."""


class Template(Component):
    """A chat format. Its facts are the fields of `swift_core.templates.Template`."""


class Box(Component):
    """A writer and reader of boxes."""


class Agent(Component):
    """A format of tools and tool calls."""

    before_calls: ClassVar[str] = "\n"
    """What stands between the words and the calls of one turn."""

    beside: ClassVar[bool] = False
    """Whether the calls stand behind the template's answer, not in it."""


class LossScale(Component):
    """Weights of the pieces of an answer."""


class Tuner(Component):
    """A tuner."""

    trains_whole_weights: ClassVar[bool] = False
    """Whether it trains the model's own weights in place; they are then saved as a whole checkpoint."""

    trains_nothing: ClassVar[bool] = False
    """Whether it adds no parameter that trains; if not, a tuner with nothing left to train ends the job."""

    takes_parts: ClassVar[bool | property] = False
    """Whether it is attached without a look at the values of weights, of which a process may hold a part only."""

    reshapes: ClassVar[bool] = False
    """Whether it changes which modules there are, so that it must be attached before the others."""


class Optimizer(Component):
    """A builder of optimizers."""


class Trainer(Component):
    """A training method."""

    needs_answer: ClassVar[bool] = True
    """Whether each row must end with an answer; False: the method draws it, or learns from other columns."""

    needs_question: ClassVar[bool] = True
    """Whether each row must have a user's turn with words in it; False: plain text trains as well."""

    ignores: ClassVar[tuple[str, ...]] = ()
    """Fields of a row that it learns nothing from, `rejected` or `label`: said where rows have them."""

    streams: ClassVar[bool] = False
    """Whether it trains on rows read as they come (`--streaming true`)."""

    draws: ClassVar[bool] = False
    """Whether it draws answers while it trains: such a method takes `--rollout_backend` and `--environment`."""

    task: ClassVar[str | None] = None
    """The head that the model is loaded with: `seq_cls`, `embedding`, `reranker` …; None: as the card says."""

    num_labels: ClassVar[int | None] = None
    """How many outputs the head has; None: as the data or the user say."""

    texts: ClassVar[int] = 1
    """Texts of a row that go through the model together, at least: two answers, a query and a document."""


class Reward(Component):
    """A scorer of completions."""

    in_main_thread: ClassVar[bool] = False
    """Whether `score` must run in the main thread, because it uses signals or libraries that ask for it."""


class Environment(Component):
    """The world of a rollout."""


class Parallel(Component):
    """A way to share one training step among processes. One of its options chooses it: no job says `--parallel`.

    A training method that it does not serve says so in its own `capabilities`, under the name of this component.
    """

    active: bool | property = True
    """Whether its options ask for it; one that is not leaves the job."""

    splits_weights: ClassVar[bool] = False
    """Whether each process holds a part of every weight, as torch's distributed tensors have it."""

    limits_of: ClassVar[tuple[str, ...]] = ()
    """Strategies whose limits it has as well: what does not go with one of them does not go with it."""

    engine: ClassVar[str | None] = None
    """Another engine that makes the training step: `deepspeed`; None: none does."""

    def engine_settings(self) -> dict[str, Any]:
        """The engine's settings, as its own configuration files have them."""
        return {}

    def mesh_sizes(self) -> dict[str, int]:
        """What it asks of the mesh of processes that share weights: name of a dimension to its size.

        `replicate` is the number of copies of the model, `tensor` and `expert` how many processes share each matrix
        product and the experts of a layer. The processes that are left share the weights of a copy.
        """
        return {}


class Launcher(Component):
    """A starter of several processes."""

    def layout(self) -> tuple[str, int | None]:
        """(how many machines, as `2`, or `1:4` where they may come and go; processes on each).

        The latter is None where only the machine tells. `swift explain` shows both.
        """
        return "1", None

    def meeting(self) -> str | None:
        """What names this run alike on several machines that each start it themselves; None: one machine does.

        Runs of the same name may share an output folder.
        """
        return None


class Backend(Component):
    """A generator of answers."""

    environment: ClassVar[Requirements | None] = None
    """As in `Quantizer`."""


class EngineTraits:
    """What an engine that a backend started may declare; other code reads it off the engine, not the component."""

    batches_itself: ClassVar[bool] = False
    """Whether several threads may call `generate` at once; False: one thread calls it, with whole batches."""

    admits: ClassVar[bool] = False
    """Whether it takes requests while it answers others: it has `submit` (`contract.engine.AdmittingEngine`)."""

    scores_answers: ClassVar[bool] = False
    """Whether the model reads a conversation whole, answer included, and replies with a score or a vector."""

    window: ClassVar[int | None] = None
    """Most tokens of prompt and answer together; None: the engine does not say."""

    tokenizer: ClassVar[Any] = None
    """The model's tokenizer, as transformers has them; None: the engine has none in this process."""

    job: ClassVar[Any] = None
    """The job whose template writes its prompts; None: prompts are written elsewhere."""

    obeys: ClassVar[frozenset[str]] = frozenset()
    """Fields of `Sampling` that it obeys of those an engine need not know (`inference.conversation.OPTIONAL`)."""

    own_sampling: ClassVar[Mapping[str, Any] | None] = None
    """How the checkpoint itself says that answers are drawn: fields of `Sampling`; None: the engine does not know."""

    changes_adapters: ClassVar[bool] = False
    """Whether adapters come and go while it answers (`contract.engine.AdapterEngine`)."""

    @staticmethod
    def prepared(request: Request) -> Request:
        """The request checked and, where the engine can, with its prompt as tokens; SwiftError if it cannot be asked.

        Called from another thread than `generate`, one call at a time.
        """
        return request


class Server(Component):
    """A network interface of an engine."""


class Evaluator(Component):
    """A measurer of models."""

    environment: ClassVar[Requirements | None] = None
    """As in `Quantizer`."""

    benchmarks: ClassVar[Path | None] = None
    """A table of the published data sets that it knows by name: name, modality, title, and columns of its own, between
    tabs, below a header. `swift list benchmarks` shows them; other names are refused. None: it measures files."""


class Exporter(Component):
    """A writer of other formats."""

    environment: ClassVar[Requirements | None] = None
    """As in `Quantizer`."""


BASES: dict[str, type] = {
    "model": Family,
    "loader": Loader,
    "quantizer": Quantizer,
    "patcher": Patcher,
    "dataset": Dataset,
    "template": Template,
    "bbox": Box,
    "agent": Agent,
    "loss_scale": LossScale,
    "tuner": Tuner,
    "optimizer": Optimizer,
    "trainer": Trainer,
    "reward": Reward,
    "environment": Environment,
    "parallel": Parallel,
    "launcher": Launcher,
    "backend": Backend,
    "server": Server,
    "evaluator": Evaluator,
    "exporter": Exporter,
    "recipe": Recipe,
}
"""Kind → the class that says what its components may declare. A command is a Typer application and declares nothing."""


def declared(component: Any, base: type, name: str) -> Any:
    """What a component or an engine declares as `name`; the default of `base` where it says nothing."""
    return getattr(component, name, getattr(base, name))
