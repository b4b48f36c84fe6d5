"""Write `docs/coming-from.md`: what options of other programs are called here, from the tables that errors read.

The words are those of `swift_core/job/other_words.tsv` and the other names of our own options. Run by
`make generated`; a test checks that the page is up to date.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

from swift_core.catalogue.entries import Catalogue
from swift_core.job.options import OptionInfo, describe_options
from swift_core.job.other_words import Meaning, other_words
from swift_core.job.specs import JOBS

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "coming-from.md"

INTRO = """<!-- Written by tools/coming_from.py from the code: change the code, then run `make generated`. -->

# Coming from another program

Keep your rows and your models: the usual [data formats](data-formats.md) of ms-swift, LLaMA-Factory, Axolotl and TRL
are read as they are, and many options have the same name. Options that have another name are in the tables below.

| there | here |
|---|---|
| ms-swift: `swift sft`, `swift rlhf --rlhf_type dpo`, `swift infer`, `swift deploy` … | the same |
| LLaMA-Factory: `llamafactory-cli train job.yaml` | `swift sft --config job.yaml` |
| the same with `stage: pt` | `swift pt --config job.yaml` |
| the same with `stage: dpo` (`kto`, `ppo`, `rm`) | `swift rlhf --rlhf_type dpo --config job.yaml` |
| LLaMA-Factory: `llamafactory-cli chat`, `api`, `export` | `swift infer`, `swift deploy`, `swift export` |
| Axolotl: `axolotl train job.yaml` | `swift sft --config job.yaml` |
| the same with `rl: dpo` (`orpo`, `kto`, `grpo` …) | `swift rlhf --rlhf_type dpo --config job.yaml` |
| TRL: `trl sft`, `trl dpo`, `trl grpo` … | `swift sft`, `swift rlhf --rlhf_type dpo`, `swift rlhf --rlhf_type grpo` … |
| `accelerate launch --num_processes 2`, `torchrun --nproc_per_node 2` | `--launcher torchrun --nproc_per_node 2` |

## Let the file be converted

`swift convert-config` (`pip install swift-plugin-convert`) makes a job file of a YAML file of LLaMA-Factory, Axolotl,
TRL or ms-swift, or of a script with their command:

```console
$ swift convert-config theirs.yaml --output job.yaml
$ swift explain sft --config job.yaml
$ swift sft --config job.yaml
```

- Behind an option stands the word that it comes from. Below stand the defaults of that program which are others here,
  because a word that nobody said trains, too.
- What needs no word here, what another word of the file says otherwise, and what has no equal, stands in the file as a
  comment with the reason. The command prints how many these are, and names the last two.
- A YAML file does not say which command reads it. `--command dpo` does (`export`, `chat`, `pt` …); without it the usual
  one is taken, and that is printed.
- A script is read as the shell reads it: variables, `export`, continued lines, redirections, and what `torchrun`,
  `accelerate launch` or `deepspeed` says before the command. It takes the first job of a script and tells of others.
- Paths and data sets stay as they are. `use_hf: true` is written where the program takes models from Hugging Face.
- The words are data: a table for each program in `swift_plugin_convert/words`.

## Let the list come to you

Or mend a job file by hand. Give it to `swift explain` as it is. That loads no model and changes nothing; it tells every
option that has another name, all at once. `job.yaml`, as LLaMA-Factory would read it:

```yaml
model_name_or_path: Qwen/Qwen3-0.6B
finetuning_type: lora
dataset: rows.jsonl
cutoff_len: 2048
```

```console
$ swift explain sft --config job.yaml
swift: Which model? Say --model with a hub id or a local folder.
There is no option --model_name_or_path (in job.yaml). Here it is --model.
There is no option --finetuning_type (in job.yaml). Here it is --tuner.
There is no option --cutoff_len (in job.yaml). Here it is --max_length.
```

Mend the file by the list and ask again, until `swift explain` prints the resolved job. Nothing is translated in
silence, because a word that is almost the same would train something else.

- `swift sft --help` shows every option; name a component (`--tuner lora`) to see its own. The
  [jobs](reference/jobs.md) and the [components](reference/components.md) list them all.
- An argument of transformers that has no option here goes through `--training_args`, as JSON.
- `bf16: true` and `fp16: true` stay as they are. `do_train` and `plot_loss` go: training trains, and draws its curves.
- `adapter: lora` of Axolotl is `--tuner lora`. Here `--adapters` names folders of adapters that are trained already.
- A list of data sets with settings each (Axolotl's `datasets`) becomes names: `--dataset a.jsonl b.jsonl#500`.
  LLaMA-Factory's `dataset_info.json` is read: `--dataset_info FILE`.
"""

SECTIONS = {
    "LLaMA-Factory": "",
    "Axolotl": "",
    "TRL": "",
    "ms-swift": "Most of its options have the same names here, or [are taken](#other-names-that-are-taken).\n",
    "transformers": "Arguments of its `Trainer` that the programs above hand on and that have another form here.\n",
}
"""Whose words have a section, and what stands above its table."""


def page() -> str:
    """The whole page: how to begin, a table for each program, and the names that need no change."""
    helps = _helps()
    sections = "".join(_section(program, text, helps) for program, text in SECTIONS.items())
    taken = [[f"`--{alias}`", f"`--{option.name}`", option.help] for alias, option in _aliases()]
    intro = "These need no change: they mean the option beside them, in jobs and with components that have it.\n"
    return INTRO + sections + f"\n## Other names that are taken\n\n{intro}\n" + _table(["name", "option"], taken)


def _section(program: str, text: str, helps: dict[str, str]) -> str:
    title = "Arguments of transformers" if program == "transformers" else f"From {program}"
    rows = [
        [f"`{word}`", f"`{meaning.said}`", helps.get(meaning.names()[-1], "")]
        for word, meanings in sorted(other_words().items())
        for meaning in meanings
        if program in _users(meaning)
    ]
    return f"\n## {title}\n\n" + (f"{text}\n" if text else "") + _table(["there", "here"], rows)


def _users(meaning: Meaning) -> list[str]:
    """`older TRL` and `A, B and C` as names of programs."""
    return [user.removeprefix("older ") for user in re.split(r", | and ", meaning.users)]


def _helps() -> dict[str, str]:
    """Option → what it does: the job's word, else the components' where they all say the same."""
    said: dict[str, set[str]] = {}
    for option in _of_components():
        said.setdefault(option.name, set()).add(option.help)
    helps = {name: texts.pop() for name, texts in said.items() if len(texts) == 1}
    return helps | {option.name: option.help for option in reversed(_of_jobs())}


def _aliases() -> list[tuple[str, OptionInfo]]:
    """Every other name with its option, each pair once."""
    options = [*_of_jobs(), *_of_components()]
    pairs = {(alias, option.name): option for option in reversed(options) for alias in option.aliases}
    return [(alias, option) for (alias, _), option in sorted(pairs.items())]


@functools.cache
def _of_jobs() -> list[OptionInfo]:
    return [option for job in JOBS.values() for option in describe_options(job.options_class())]


@functools.cache
def _of_components() -> list[OptionInfo]:
    """The options of the components of this repository, and of no other that happens to be installed."""
    known = {tuple(line.split("\t")) for line in _known_lines()}
    entries = [e for e in Catalogue.installed().entries if (e.kind, e.name, e.package) in known]
    loaded = [e.load() for e in entries if e.kind not in ("model", "template", "dataset")]
    return [option for component in loaded if isinstance(component, type) for option in describe_options(component)]


def _known_lines() -> list[str]:
    return (ROOT / "swift_core" / "catalogue" / "known.tsv").read_text(encoding="utf-8").splitlines()


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    lines = [
        [*heads, "what it does"],
        ["---"] * 3,
        *([cell.replace("|", "\\|").replace("<", "&lt;") for cell in row] for row in rows),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    text = page()
    PAGE.write_text(text, encoding="utf-8")
    print(f"docs/coming-from.md: {len(text.splitlines())} lines")
