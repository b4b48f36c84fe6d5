"""Sets of options that nobody meant to write, from a seed: real names with values of every wrong sort."""

from __future__ import annotations

import json
import random
from pathlib import Path

import yaml

from swift_core.catalogue.entries import Catalogue
from swift_core.job.options import fields_of
from swift_core.job.other_words import other_words
from swift_core.job.specs import JOBS

TEXTS = (
    *(
        "[1,2",
        "{",
        "[]",
        "{}",
        "null",
        "none",
        "true",
        "nan",
        "-inf",
        "1e400",
        "-1",
        "0",
        "1.5",
        "9" * 5000,
        "a" * 5000,
    ),
    *("\x00", "a\x00b", "\udc80", "\u2028", "🙂", "", " ", "=", "=lora", "lora=", "a=b=c", "first=lora", "first=dora"),
    *("[" * 3000, '{"a":' * 3000, '["x", null]', "[1e999]", "../..", "/", "/dev/null", "/proc/self/mem", "*"),
    *("hf::", "::", "#5", "x#99999999999999999999", "lora@nobody", "@", "~", "-", "--", "a\nb"),
)

VALUES = (
    *(None, True, False, 0, -1, 10**30, 1.5, float("nan"), float("inf"), [], {}, [None], [[]], [{}], {"a": {"b": []}}),
    *([1, 2], ["lora", "lora"], ["first=lora", "first=dora"], {"lora_rank": "x"}, {1: 2}, ["a", 1], [["a"]]),
)

WRONG_FILES = {
    "list.yaml": "[1, 2]",
    "text.yaml": "just text",
    "nothing.yaml": "",
    "date.yaml": "model: 2024-13-45",
    "real_date.yaml": "model: 2024-12-24\nsystem: 2024-12-24 10:00:00",
    "tag.yaml": "model: !!python/object:os.system x",
    "cycle.yaml": "training_args: &a {b: *a}\ndataset: &b [*b]",
    "laughs.yaml": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{n}: &{n} [{', '.join([f'*{o}'] * 9)}]\n" for o, n in zip("abcdefgh", "bcdefghi", strict=True)),
    "deep.yaml": "a: " + "[" * 5000,
    "keys.yaml": "1: 2\n2.5: x\nnull: y\n? [a]\n: z\nlora: {1: 2, null: 3}",
    "sets.yaml": "dataset: !!set {a, b}\nsystem: !!binary aGVsbG8=",
    "bom.yaml": "\ufeffmax_steps: 3",
    "multi.yaml": "a: 1\n---\nb: 2",
    "rows.jsonl": '{"query": "a", "response": "b"}\n',
    "x.gguf": "GGUF" + "\x01" * 40,
    "dataset_info.json": '{"a": 1, "b": {"file_name": 3}, "c": []}',
}

LOCKS = (
    "[]",
    "{",
    "null",
    "3",
    "{}",
    json.dumps({"options": []}),
    json.dumps({"components": {}}),
    json.dumps({"components": [3]}),
    json.dumps({"components": [{"kind": "tuner"}]}),
    json.dumps({"components": [{"kind": "tuner", "name": "lora", "options": {"old": 1}}]}),
    json.dumps({"components": [{"kind": "tuner", "name": "lora", "label": 7}, {"kind": "tuner", "name": "none"}]}),
    json.dumps({"components": [{"kind": "tuner", "name": ["lora"], "label": "x"}]}),
    json.dumps({"model": 5, "model_type": ["qwen2"], "template": {}}),
    json.dumps({"model": "nowhere", "model_type": "qwen2", "template": "chatml", "options": {"max_pixels": "x"}}),
    json.dumps({"options": {"quantizer": "bnb", "adapter": 3, "agent": ["x"], "system": 5, "torch_dtype": []}}),
)

CONFIGS = (
    "[]",
    "{",
    "3",
    "{}",
    json.dumps({"architectures": "Qwen2ForCausalLM"}),
    json.dumps({"architectures": [[]], "model_type": {}}),
    json.dumps({"architectures": None, "model_type": None}),
    json.dumps({"architectures": ["Qwen2ForCausalLM"], "quantization_config": "bnb", "model_type": "qwen2"}),
    json.dumps({"architectures": ["Qwen2ForCausalLM"], "quantization_config": {"quant_method": ["x"]}}),
    json.dumps({"architectures": ["Qwen2ForCausalLM"], "_name_or_path": 5, "model_type": "qwen2"}),
    json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "text_config": []}),
)


class Options:
    """Words of a command line, from a seed. folder: where the files are made. model: a sound checkpoint."""

    def __init__(self, seed: int, folder: Path, model: str):
        self.chance, self.folder, self.model = random.Random(seed), folder, model
        self.number = 0
        catalogue = Catalogue.installed()
        self.components = [e for e in catalogue.entries if e.kind not in ("command", "model")]
        classes = [c for e in self.components if e.kind != "template" and isinstance(c := e.load(), type)]
        jobs = [spec.options_class() for spec in JOBS.values()]
        self.names = sorted({name for owner in (*jobs, *classes) for name in fields_of(owner)})
        self.own = {job: sorted(fields_of(spec.options_class())) for job, spec in JOBS.items()}
        self.places = [self._file(name, text) for name, text in WRONG_FILES.items()]
        self.places += [self._folder("swift.lock.json", text) for text in LOCKS]
        self.places += [self._folder("config.json", text) for text in CONFIGS]
        (folder / "empty").mkdir()
        self.places += [str(folder / "empty"), str(folder / "absent"), str(folder / "rows.jsonl" / "below")]

    def _file(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text, encoding="utf-8")
        return str(self.folder / name)

    def _folder(self, name: str, text: str) -> str:
        self.number += 1
        place = self.folder / f"folder{self.number}"
        place.mkdir()
        (place / name).write_text(text, encoding="utf-8")
        return str(place)

    def job(self) -> tuple[str, list[str]]:
        """(a job's name, its words), a third of them with a sound model and data."""
        job = self.chance.choice(sorted(JOBS))
        words = []
        if self.chance.random() < 0.75:
            words += ["--model", self.model]
            words += ["--dataset", str(self.folder / "rows.jsonl")] if self.chance.random() < 0.8 else []
        for _ in range(self.chance.randint(0, 3)):
            words += [f"--{self.key(job)}", *self.values()]
        if self.chance.random() < 0.3:
            words += ["--config", self.config(job)]
        if self.chance.random() < 0.05:
            words.insert(0, self.chance.choice(TEXTS))
        return job, words

    def key(self, job: str) -> str:
        """A real option mostly, the job's own or another's, or a component's by its label."""
        draw = self.chance.random()
        if draw < 0.55:
            return self.chance.choice(self.own[job])
        if draw < 0.85:
            return self.chance.choice(self.names)
        if draw < 0.92:
            return f"{self.chance.choice(('lora', 'default', 'first', '', 'sft'))}.{self.chance.choice(self.names)}"
        return self.chance.choice((*other_words(), *TEXTS[:30], "config", "yes", "help_me"))

    def values(self) -> list[str]:
        count = self.chance.choice((0, 1, 1, 1, 1, 2, 3))
        return [self.value() for _ in range(count)]

    def value(self) -> str:
        draw = self.chance.random()
        if draw < 0.45:
            return self.chance.choice(TEXTS)
        if draw < 0.75:
            return self.chance.choice(self.places)
        entry = self.chance.choice(self.components)
        return self.chance.choice((entry.name, f"x={entry.name}", f"{entry.name}@{entry.package}", entry.kind))

    def config(self, job: str) -> str:
        """A YAML file of values of every type, or one that is none."""
        if self.chance.random() < 0.4:
            return self.chance.choice(self.places)
        chosen = {self.key(job): self.chance.choice((*VALUES, *TEXTS[:20])) for _ in range(self.chance.randint(1, 4))}
        self.number += 1
        file = self.folder / f"job{self.number}.yaml"
        file.write_text(yaml.safe_dump(chosen, allow_unicode=False), encoding="utf-8", errors="surrogateescape")
        return str(file)
