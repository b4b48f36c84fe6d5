"""What a file of another program says: whose it is, which job, and each word with its value."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from swift_core import SwiftError
from swift_core.contract.errors import did_you_mean
from swift_plugin_convert.tables import PROGRAMS

JOBS = {
    "llamafactory": {"train": "", "chat": "infer", "api": "deploy", "export": "export"},
    "axolotl": {"train": "", "preprocess": "", "merge-lora": "merge-lora", "inference": "infer"},
    "trl": dict.fromkeys(("sft", "dpo", "kto", "grpo", "rloo", "reward", "gkd", "orpo", "cpo", "ppo"), ""),
    "ms-swift": dict.fromkeys(("sft", "pt", "rlhf"), "")
    | {name: name for name in ("infer", "deploy", "eval", "export", "sample", "merge-lora")},
}
"""Program → its command → our job; empty where the training method decides."""

TRAINERS = {"reward": "rm"}
"""TRL's names of methods that have another name here."""

MARKS = {
    "axolotl": {"base_model", "micro_batch_size", "sequence_len", "datasets", "sample_packing", "val_set_size"},
    "llamafactory": {"model_name_or_path", "finetuning_type", "stage", "cutoff_len", "template", "lora_target"},
    "trl": {"model_name_or_path", "dataset_name", "lora_r", "use_peft", "max_seq_length", "dataset_config"},
    "ms-swift": {"model", "train_type", "tuner_type", "sft_type", "rlhf_type", "model_id_or_path", "target_modules"},
}
"""Words by which a YAML file is told; the program with most of them has written it."""

STARTERS = {
    "llamafactory-cli": "llamafactory",
    "lmf": "llamafactory",
    "axolotl": "axolotl",
    "trl": "trl",
    "swift": "ms-swift",
}
"""Program on a command line → its table."""


@dataclass
class Theirs:
    """What a file says.

    program: its table. job: ours, empty where the training method decides. trainer: the method that the command names.
    values: word → value, maps inside as they are. environment: variables before the command.
    """

    program: str
    job: str = ""
    trainer: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


def read(file: Path, program: str = "") -> Theirs:
    """What `file` says. program: whose it is; empty: found out.

    Raises SwiftError where it cannot be read, is neither YAML nor a command, or could be of several programs.
    """
    if program and program not in PROGRAMS:
        raise SwiftError(f"--program {program}: {did_you_mean(program, PROGRAMS)} Say one of {', '.join(PROGRAMS)}.")
    text = _text(file)
    content = _map(text)
    if content is None:
        return _command(text, file, program)
    return Theirs(program or _author(content, file), values=content)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SwiftError(f"{file} cannot be read: {error}") from None


def _map(text: str) -> dict[str, Any] | None:
    """The map that a YAML text holds, None where it holds none."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    return {str(key): value for key, value in content.items()} if isinstance(content, dict) else None


def _author(content: dict[str, Any], file: Path) -> str:
    """The program whose words a map has."""
    points = {program: len(marks & set(content)) for program, marks in MARKS.items()}
    best = [program for program, count in points.items() if count == max(points.values())]
    if len(best) > 1 or not points[best[0]]:
        raise SwiftError(f"{file} does not tell whose it is: say --program {' or '.join(best)}.")
    return best[0]


# -- commands ---------------------------------------------------------------------------------------------
def _command(text: str, file: Path, program: str) -> Theirs:
    """The first command of a known program in a script."""
    for line in _lines(text):
        found = _read_line(line, file, program)
        if found:
            return found
    names = "llamafactory-cli, axolotl, trl, swift, or a script of TRL"
    raise SwiftError(f"{file} holds neither a YAML map nor a command of {names}.")


def _lines(text: str) -> list[list[str]]:
    """The commands of a script as words: comments gone, continued lines joined."""
    kept = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\s*\n", " ", "\n".join(kept))
    found = []
    for line in joined.splitlines():
        try:
            words = shlex.split(line.removeprefix("$ "))
        except ValueError:
            continue  # a part of a script that is no single command
        found.append(list(itertools.takewhile(lambda word: not word.startswith("#"), words)))
    return [words for words in found if words]


def _read_line(words: list[str], file: Path, program: str) -> Theirs | None:
    environment = _environment(words)
    rest = words[len(environment) :]
    for place, word in enumerate(rest):
        name = STARTERS.get(Path(word).name)
        if name and (not program or program == name) and place + 1 < len(rest):
            theirs = _started(name, rest[place + 1], rest[place + 2 :], file)
        elif script := _script(rest, place):
            theirs = _started(*script, rest[place + 1 :], file)
        else:
            continue
        theirs.environment = environment | _launched(rest[:place])
        return theirs
    return None


def _environment(words: list[str]) -> dict[str, str]:
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            break
        found[name] = value
    return found


def _script(words: list[str], place: int) -> tuple[str, str] | None:
    """(program, command) where a word is a script or module that starts a program's job."""
    word = words[place]
    if found := re.search(r"(?:^|/)(?:trl/scripts|examples/scripts)/(\w+)\.py$", word):
        return "trl", found[1]
    if found := re.fullmatch(r"axolotl\.cli\.(\w+)", word):
        return "axolotl", found[1].replace("_", "-")
    if re.search(r"(?:^|/)src/train\.py$", word):
        return "llamafactory", "train"
    if found := re.search(r"(?:^|/)swift/cli/(\w+)\.py$", word):
        return "ms-swift", found[1]
    return None


def _launched(words: list[str]) -> dict[str, str]:
    """The processes that `accelerate launch` or `torchrun` before a script asks for, as torchrun's variables."""
    names = {"num_processes": "NPROC_PER_NODE", "nproc_per_node": "NPROC_PER_NODE", "nnodes": "NNODES"}
    said = {name: str(value) for name, value in _options(words).items()}
    found = {names[name]: value for name, value in said.items() if name in names}
    files = {"accelerate --config_file": said["config_file"]} if "config_file" in said else {}
    return found | files


def _started(program: str, command: str, words: list[str], file: Path) -> Theirs:
    if command not in JOBS[program]:
        known = ", ".join(JOBS[program])
        raise SwiftError(f"{file}: {PROGRAMS[program]}'s {command!r} is no job that can be converted: {known}.")
    trainer = {
        "trl": TRAINERS.get(command, command),
        "ms-swift": {"pt": "pt", "sft": "sft", "rlhf": "dpo"}.get(command, ""),
    }
    theirs = Theirs(program, JOBS[program][command], trainer.get(program, ""))
    for name in [*_leading(words), *_listed(_options(words).pop("config", []))]:
        theirs.values |= _config(file.parent / name)
    said = _options(words)
    said.pop("config", None)
    theirs.values |= said
    return theirs


def _leading(words: list[str]) -> list[str]:
    """The job file that stands before all options."""
    return words[:1] if words and re.search(r"\.(ya?ml|json)$", words[0]) else []


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _config(file: Path) -> dict[str, Any]:
    content = _map(_text(file))
    if content is None:
        raise SwiftError(f"{file}, which the command names, holds no YAML map.")
    return content


def _options(words: list[str]) -> dict[str, Any]:
    """`--name value`, `--name=value`, `--flag`, `--name a b` and `name=value` as a map."""
    found: dict[str, list[str]] = {}
    name = ""
    for word in words:
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            name = name.replace("-", "_")
            found[name] = [value] if equals else []
        elif overridden := re.fullmatch(r"(\w+)=(.*)", word, re.DOTALL):
            found[overridden[1]] = [overridden[2]]
            name = ""
        elif name:
            found[name].append(word)
    return {key: _one_or_many([_plain(value) for value in values]) for key, values in found.items()}


def _one_or_many(values: list[Any]) -> Any:
    if not values:
        return True
    return values[0] if len(values) == 1 else values


def _plain(word: str) -> Any:
    """A word as YAML would hold it: true and false, numbers, JSON. A number with an exponent stays as it is written."""
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    if re.fullmatch(r"-?\d+", word):
        return int(word)
    if re.fullmatch(r"-?\d*\.\d+", word):
        return float(word)
    if word[:1] in "{[":
        try:
            return json.loads(word)
        except ValueError:
            return word
    return word
