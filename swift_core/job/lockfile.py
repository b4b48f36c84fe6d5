"""The lock file beside every checkpoint: what made it, and what a later job takes over from it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.catalogue.entries import Catalogue, Entry
from swift_core.contract.errors import SwiftError
from swift_core.job.options import fields_of
from swift_core.job.selected import Selected
from swift_core.job.specs import JobSpec
from swift_core.version import __version__

if TYPE_CHECKING:
    from swift_core.contract.job import Job

LOCK_FILE = "swift.lock.json"
"""Written beside every checkpoint: the components, versions and options that made it."""

INHERITED = (
    "model",
    "model_type",
    "new_special_tokens",
    "template",
    "system",
    "enable_thinking",
    "preserve_thinking",
    "agent",
    "bbox",
    "quantizer",
    "torch_dtype",
    "max_pixels",
)
"""Options that a job takes over from the training run whose checkpoint it is given."""

ROWS = ("data_seed",)
"""Options that a job which does not train takes over as well: it then holds out the rows that training held out."""


def lock_of(job: Job) -> dict[str, Any]:
    """What made this job: components with versions, and options.

    Of a training run also its id, marks of the weights that it began with, and of its rows.
    """
    return {
        "swift_core": __version__,
        "job": job.spec.name,
        "model": job.options.model,
        "model_type": next((c.entry.name for c in job.many("model")), None),
        "template": getattr(job.options, "template", None),
        "components": [
            {
                "kind": c.kind,
                "name": c.entry.name,
                "label": c.label,
                "package": c.entry.package,
                "version": c.entry.version,
                "options": _plain_options(c.component),
            }
            for c in job.selected
        ],
        "options": _plain_options(job.options),
        **{key: job.memo[key] for key in ("run", "weights", "data") if key in job.memo},
    }


def write_lock(job: Job, folder: str | Path) -> None:
    """Save the lock beside a checkpoint."""
    text = json.dumps(lock_of(job), indent=2, ensure_ascii=False, default=str)
    Path(folder, LOCK_FILE).write_text(text + "\n", encoding="utf-8")


def _plain_options(owner: Any) -> dict[str, Any]:
    if isinstance(owner, type) or not dataclasses.is_dataclass(owner) or hasattr(owner, "name"):
        return {}  # facts of a card or a template are not options
    return {name: getattr(owner, name) for name, f in fields_of(type(owner)).items() if not f.metadata.get("secret")}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; {} where there is no file. SwiftError where it is broken, or holds something else."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise SwiftError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise SwiftError(f"{path} must hold a JSON object, and holds a {type(value).__name__}.")
    return value


def read_lock(folder: Path) -> dict[str, Any]:
    """The lock of a checkpoint folder; {} where it has none. SwiftError where its parts are not what we write."""
    file = Path(folder, LOCK_FILE)
    lock = read_json(file)
    parts = lock.get("components", [])
    sound = isinstance(lock.get("options", {}), dict) and isinstance(parts, list) and all(map(_is_component, parts))
    if not sound or not all(isinstance(lock.get(name) or "", str) for name in ("model_type", "template")):
        raise SwiftError(f"{file} is damaged: its components, options or names are not as swift writes them.")
    return lock


def _is_component(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("options", {}), dict):
        return False
    return isinstance(value.get("kind"), str) and isinstance(value.get("name"), str)


def inherit(spec: JobSpec, values: dict[str, Any], sources: dict[str, str]) -> None:
    """Fill what the user left out from the lock of `--ckpt_dir` or of the first adapter."""
    folder = values.get("ckpt_dir") or _first_adapter(values)
    if not folder:
        return
    lock = read_lock(Path(str(folder)))
    saved = {**lock.get("options", {}), **{k: lock.get(k) for k in ("model", "model_type", "template")}}
    fields = fields_of(spec.options_class())
    for name in INHERITED if "trainer" in fields else (*INHERITED, *ROWS):
        if name not in values and saved.get(name) is not None and name in fields:
            values[name], sources[name] = saved[name], f"{folder}/{LOCK_FILE}"
    if values.get("ckpt_dir"):
        _point_at_checkpoint(values, sources, Path(str(folder)))


def _first_adapter(values: dict[str, Any]) -> str | None:
    adapters = values.get("adapters")
    first = next(iter(adapters), None) if isinstance(adapters, list) else adapters
    return str(first).rpartition("=")[2] if first else None


def _point_at_checkpoint(values: dict[str, Any], sources: dict[str, str], folder: Path) -> None:
    """A checkpoint with whole weights is the model; one with tuners alone is an adapter of it."""
    if not folder.is_dir():
        raise SwiftError(f"The checkpoint folder {str(folder)!r} does not exist.")
    if (folder / "config.json").is_file():
        values["model"], sources["model"] = str(folder), "--ckpt_dir"
    else:
        values["adapters"], sources["adapters"] = [str(folder)], "--ckpt_dir"


def saved_tuners(catalogue: Catalogue, folder: Path, name: str) -> list[Selected]:
    """The tuners that wrote `folder`, not yet loaded, with the options they had.

    name: the label of a single tuner; several keep the labels they were saved under.
    Raises SwiftError where the folder holds no tuner.
    """
    if not folder.is_dir():
        raise SwiftError(f"The adapter folder {str(folder)!r} does not exist.{_new_tuner(catalogue, str(folder))}")
    tuners = [c for c in read_lock(folder).get("components", []) if c["kind"] == "tuner"]
    if not tuners and (folder / "adapter_config.json").is_file():
        tuners = [{"name": "lora", "label": name}]
    if not tuners:
        raise SwiftError(f"{str(folder)!r} holds no tuner: it has neither adapter_config.json nor {LOCK_FILE}.")
    out = []
    for tuner in tuners:
        single = len(tuners) == 1
        own = str(tuner.get("label", tuner["name"]))
        label = name if single else f"{name}_{own}"
        place = folder if single else folder / own
        entry = catalogue.find("tuner", tuner["name"])
        out.append(Selected(entry, label, f"adapter {folder}", None, str(place), tuner.get("options", {})))
    return out


def _new_tuner(catalogue: Catalogue, word: str) -> str:
    """What to say for a tuner, where its name was given as an adapter's folder; else nothing."""
    known = any(e.name == word for e in catalogue.of_kind("tuner"))
    return f" To train a new one say --tuner {word}." if known else ""


def options_in_lock(entry: Entry, why: str) -> dict[str, Any]:
    """The options that a component had in the run whose lock file chose it (a quantizer's bits, for one)."""
    if not why.endswith(LOCK_FILE):
        return {}
    made = read_lock(Path(why).parent).get("components", [])
    options = [c.get("options", {}) for c in made if (c["kind"], c["name"]) == (entry.kind, entry.name)]
    return options[0] if options else {}
