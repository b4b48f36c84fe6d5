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

STARTERS_OF = {table: name for name, table in STARTERS.items() if name != "lmf"}


@dataclass
class Theirs:
    """What a file says.

    program: its table. job: ours, empty where the training method decides. trainer: the method that the command names.
    values: word → value, maps inside as they are. environment: variables before the command. launched: words of what
    starts its processes. used: variables that stand in values. notes: what was not read, to be told.
    """

    program: str
    job: str = ""
    trainer: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    launched: dict[str, Any] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def read(file: Path, program: str = "", command: str = "") -> Theirs:
    """What `file` says. program: whose it is; empty: found out. command: which of its commands reads a YAML file.

    Raises SwiftError where it cannot be read, is neither YAML nor a command, or could be of several programs.
    """
    if program and program not in PROGRAMS:
        raise SwiftError(f"--program {program}: {did_you_mean(program, PROGRAMS)} Say one of {', '.join(PROGRAMS)}.")
    text = _text(file)
    content = _map(text)
    if content is None:
        return _command(text, file, program)
    program = program or _author(content, file)
    theirs = _started(program, command or _usual(program, content), [], file)
    theirs.values = content
    if not command:
        theirs.notes.append(
            f"taken for a file of `{STARTERS_OF[program]} {_usual(program, content)}`, else say --command"
        )
    return theirs


def _usual(program: str, content: dict[str, Any]) -> str:
    """The command that reads such a YAML file, as far as it tells."""
    if program == "llamafactory":
        return "export" if "export_dir" in content else "train"
    if program == "ms-swift":
        return "rlhf" if "rlhf_type" in content else "sft"
    return "sft" if program == "trl" else "train"


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
QUOTED = r"""'[^']*'|"(?:\\.|[^"\\])*\""""
COMMENT = re.compile(rf"({QUOTED})|(?:^|(?<=\s))#[^\n]*", re.MULTILINE)
"""A quoted text, which stays, or a comment."""

DIVIDERS = {";", "&", "&&", "|", "||", "\n"}
"""Operators of the shell that end a command."""

PRINTED = re.compile(r"\$\(\([^()]*\)\)|\$\([^()]*\)|`[^`]*`")
"""What a command inside a command prints."""

VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}|\$(\w+)")


def _command(text: str, file: Path, program: str) -> Theirs:
    """The first command of a known program in a script; the other ones are told."""
    variables: dict[str, str] = {}
    exported: dict[str, str] = {}
    found: list[Theirs] = []
    others: list[str] = []
    for words in _commands(text, file):
        said, rest = _assigned(words)
        if rest[:1] == ["export"]:
            said |= _assigned(rest[1:])[0]
            exported |= said
        if not rest or rest[0] == "export":
            variables |= said
        elif not (theirs := _read_line(rest, variables | said, file, program)):
            continue
        elif found:
            others.append(" ".join(rest[:4]))
        else:
            theirs.environment = {**exported, **said, **theirs.environment}
            found.append(theirs)
    if not found:
        names = "llamafactory-cli, axolotl, trl, swift, or a script of TRL"
        raise SwiftError(f"{file} holds neither a YAML map nor a command of {names}.")
    found[0].environment = {n: v for n, v in found[0].environment.items() if n not in found[0].used}
    found[0].notes += [f"only the first command is converted, not: {other} …" for other in others]
    return found[0]


def _commands(text: str, file: Path) -> list[list[str]]:
    """The commands of a script as words: comments and redirections gone, continued lines joined."""
    bare = COMMENT.sub(lambda match: match[1] or "\0", text)
    joined = re.sub(r"\\[ \t]*\n", " ", re.sub(r"^[ \t]*\0\n?|\0", "", bare, flags=re.MULTILINE))
    plain = PRINTED.sub("$OUTPUT_OF_A_COMMAND", re.sub(r"^\$ ", "", joined, flags=re.MULTILINE))
    lexer = shlex.shlex(plain, posix=True, punctuation_chars=";&|<>\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise SwiftError(f"{file} is no script that can be read: {error}. Give the command alone.") from None
    parts = [list(part) for ends, part in itertools.groupby(words, _divides) if not ends]
    return [part for part in map(_directed, parts) if part]


def _divides(word: str) -> bool:
    return bool(word) and set(re.findall(r"&&|\|\||.", word, re.DOTALL)) <= DIVIDERS


def _directed(words: list[str]) -> list[str]:
    """The words of a command without its redirections: `> FILE`, `2>&1`."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if re.fullmatch(r"[<>&|]*[<>][<>&|]*", word):
            next(rest, None)
            if kept and kept[-1] in ("1", "2"):
                kept.pop()
        else:
            kept.append(word)
    return kept


def _assigned(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """The variables that stand at the beginning, and the words behind them."""
    found: dict[str, str] = {}
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name):
            return found, words[place:]
        found[name] = value
    return found, []


def _read_line(words: list[str], variables: dict[str, str], file: Path, program: str) -> Theirs | None:
    used: set[str] = set()
    unknown: set[str] = set()
    words = [_filled(word, variables, used, unknown) for word in words]
    for place, word in enumerate(words):
        name, command = STARTERS.get(Path(word).name), "".join(words[place + 1 : place + 2])
        if name and program in ("", name) and (command in JOBS[name] or (command and place == 0)):
            theirs = _started(name, command, words[place + 2 :], file)
        elif script := _script(words, place):
            theirs = _started(*script, words[place + 1 :], file)
        else:
            continue
        theirs.launched, theirs.used = _launched(words[:place]), used
        theirs.notes += [f"${name} is a variable that the script does not set" for name in sorted(unknown)]
        return theirs
    return None


def _filled(word: str, variables: dict[str, str], used: set[str], unknown: set[str]) -> str:
    """A word with the values of variables. used: their names, added to; unknown: those without a value."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        known = variables.get(name, match[2])
        (unknown if known is None else used).add(name)
        return match[0] if known is None else known

    before = ""
    while before != word and "$" in word:  # a value may name another variable
        before, word = word, VARIABLE.sub(value, word)
    return word


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


LAUNCHERS = {"accelerate": "accelerate launch", "torchrun": "torchrun", "deepspeed": "deepspeed"}
"""Program that starts processes → how its words begin in the table `launchers`."""

NOTHING = {"python", "python3", "-m", "-u", "nohup", "time", "sudo", "env", "exec", "uv", "run", "launch"}
"""Words before a program that say nothing about the job."""


def _launched(words: list[str]) -> dict[str, Any]:
    """What `accelerate launch`, `torchrun`, `deepspeed` or another program before the job's own says, by word."""
    words = ["torchrun" if word.startswith("torch.distributed.") else word for word in words]
    place = next((place for place, word in enumerate(words) if Path(word).name in LAUNCHERS), len(words))
    before = [word for word in words[:place] if Path(word).name not in NOTHING]
    found: dict[str, Any] = {before[0]: " ".join(before[1:]) or True} if before else {}
    if place == len(words):
        return found
    name, said = Path(words[place]).name, _options([w for w in words[place + 1 :] if w != "-m"])
    machines = said.get("num_machines", 1)
    if name == "accelerate" and machines != 1 and isinstance(total := said.get("num_processes"), int):
        said["num_processes"] = total // machines  # of all machines there, of each here
    return found | {f"{LAUNCHERS[name]} --{word}": value for word, value in said.items()}


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
    strays = _strays(words[len(_leading(words)) :])
    theirs.notes += [f"not read: {' '.join(strays)}"] if strays else []
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
    """`--name value`, `--name=value`, `--flag`, `--no_flag`, `--name a b` and, before all of them, `name=value`."""
    found: dict[str, list[str]] = {}
    name = ""
    for word in words:
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            name = name.replace("-", "_")
            found[name] = [value] if equals else []
        elif not name and (overridden := re.fullmatch(r"(\w+)=(.*)", word, re.DOTALL)):
            found[overridden[1]] = [overridden[2]]
        elif name:
            found[name].append(word)
    flags = {key: key.removeprefix("no_") if not values else key for key, values in found.items()}
    return {flags[key]: _one_or_many(key, [_plain(value) for value in values]) for key, values in found.items()}


def _strays(words: list[str]) -> list[str]:
    """Words before all options that are none."""
    before = itertools.takewhile(lambda word: not word.startswith("--"), words)
    return [word for word in before if not re.fullmatch(r"\w+=.*", word, re.DOTALL)]


def _one_or_many(name: str, values: list[Any]) -> Any:
    if not values:
        return not name.startswith("no_")
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
