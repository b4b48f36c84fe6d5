"""The paper's ablation of the loss scale in small: a tiny Qwen2 learns to call tools, with and without it.

    python examples/agent/run.py             # about seventeen minutes of one core, nothing is downloaded

SWIFT (arXiv 2408.05517), Tables 6 and 7, asks whether more weight on the calls of an agent's answers (Table 14) makes
better agents, on tools known from training (in-domain) and on others (out-of-domain). Here everything is generated: a
question in words, three tools on offer, and the turns of an agent in the ReAct format: a thought, an action whose
arguments are copied from the question, the observation, the final answer. Each tool goes by one of three names, so the
right one must be found in the list; sometimes no tool fits, and the answer says so. No held-out question stands in the
training rows, and no tool of the out-of-domain rows does. Each seed draws training rows,
first weights and order anew; both arms of a seed share all three and differ in `--loss_scale` alone. Measured by
`swift eval --evaluator agent` (definitions: docs/agents.md, where the outcome stands too).
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_testing.tiny import tiny_qwen2

from swift_core import run
from swift_core.catalogue.entries import Catalogue

CITIES = (
    "Paris Rome Oslo Lima Cairo Quito Delhi Tokyo Seoul Berlin Madrid Dublin Athens Havana Nairobi 北京 上海".split()
)
PEOPLE = "Ada Alan Grace Edsger Barbara Donald Niklaus Tony Frances John Margaret Dennis Ken Radia Vint".split()
THINGS = "tea milk bread rice salt paper soap ink coal wool".split()
VALUES = {"city": CITIES, "person": PEOPLE, "thing": THINGS, "days": range(1, 10), "amount": range(10, 100)}

OFFERED = 3
"""Tools in each row."""

ARMS = {"w/o loss-scale": "default", "w/ loss-scale": "agentflan"}
"""Lines of the paper's tables and the --loss_scale of each; agentflan is Table 14."""

METRICS = ("Plan.EM", "Act.EM", "HalluRate", "Avg.F1", "R-L")

Figures = dict[str, dict[str, list[dict[str, float]]]]
"""Domain → line of the table → metrics of each seed."""


@dataclass(frozen=True)
class Tool:
    """A tool: its possible names, what it is for, how users ask for it, what it answers, and how that is told.

    Slots in braces are its arguments.
    """

    names: tuple[str, str, str]
    about: str
    asked: str
    result: str
    told: str

    @property
    def slots(self) -> list[str]:
        """Its arguments."""
        return [slot for slot in VALUES if "{" + slot + "}" in self.asked]

    def schema(self, name: str) -> dict[str, Any]:
        """The OpenAI function schema under one of its names."""
        kinds = {slot: {"type": "integer" if slot in ("days", "amount") else "string"} for slot in self.slots}
        parameters = {"type": "object", "properties": kinds, "required": self.slots}
        return {"type": "function", "function": {"name": name, "description": self.about, "parameters": parameters}}


KNOWN = [
    Tool(("weather", "sky", "outlook"), "Weather", "How is the weather in {city}?", "sunny", "It is sunny in {city}."),
    Tool(("forecast", "rain", "barometer"), "Rain", "Rain in {city} within {days} days?", "rain", "Wet in {city}."),
    Tool(("clock", "time", "hour"), "Local time", "What time is it in {city}?", "noon", "It is noon in {city}."),
    Tool(("hotel", "room", "inn"), "Hotels", "A room in {city} for {days} nights.", "booked", "You sleep in {city}."),
    Tool(("train", "rail", "ticket"), "Trains", "A train to {city}, please.", "booked", "Off to {city}."),
    Tool(("mail", "letter", "post"), "Mail", "Write to {person} about {thing}.", "sent", "{person} has mail."),
    Tool(("call", "phone", "ring"), "Telephone", "Let me talk to {person}.", "talked", "{person} knows."),
    Tool(("pay", "transfer", "bank"), "Payments", "{person} gets {amount} euros.", "paid", "{person} has the money."),
    Tool(("order", "buy", "shop"), "Shop", "Get {amount} pounds of {thing}.", "ordered", "{thing} is on its way."),
    Tool(("price", "cost", "quote"), "Prices", "What does {thing} cost?", "cheap", "{thing} is cheap."),
]
"""What training rows are about."""

OTHERS = [
    Tool(("museum", "gallery", "exhibit"), "Museums", "Some art in {city}, please.", "open", "Art is open in {city}."),
    Tool(("ferry", "boat", "ship"), "Ships", "A boat to {city} in {days} days.", "booked", "Sailing to {city}."),
    Tool(("recipe", "cook", "dish"), "Recipes", "What can I cook with {thing}?", "soup", "{thing} makes a soup."),
    Tool(("invite", "party", "guest"), "Invitations", "Let {person} come to dinner.", "asked", "{person} will come."),
]
"""What the out-of-domain rows are about, and no others."""

DOMAINS = {"in-domain": KNOWN, "out-of-domain": OTHERS}


def make_row(tools: list[Tool], chance: random.Random) -> dict[str, Any]:
    """One conversation: a question; a thought, a call and its result; the answer. Or no tool on offer fits."""
    tool, *others = chance.sample(tools, OFFERED + 1)
    values = {slot: chance.choice(VALUES[slot]) for slot in VALUES}
    name, fits = chance.choice(tool.names), chance.random() < 0.85
    offered = [other.schema(chance.choice(other.names)) for other in others[fits:]] + [tool.schema(name)] * fits
    call = {"name": name, "arguments": {slot: values[slot] for slot in tool.slots}}
    told = [
        {"role": "assistant", "content": f"Thought: I need {tool.about.lower()}.", "tool_calls": [call]},
        {"role": "tool", "content": tool.result},
        final("I now know the final answer", tool.told.format(**values)),
    ]
    question = {"role": "user", "content": tool.asked.format(**values)}
    said = told if fits else [final("No tool helps here", "I cannot do that.")]
    return {"messages": [question, *said], "tools": chance.sample(offered, OFFERED)}


def final(thought: str, answer: str) -> dict[str, Any]:
    """The last turn."""
    return {"role": "assistant", "content": f"Thought: {thought}\nFinal Answer: {answer}"}


def held_out(folder: Path, count: int) -> dict[str, str]:
    """Domain → file of the rows that are measured; the same for every seed."""
    chance = random.Random("held out")
    return {
        domain: _write(folder / f"{domain}.jsonl", [make_row(tools, chance) for _ in range(count)])
        for domain, tools in DOMAINS.items()
    }


def training(folder: Path, count: int, seed: int, held: dict[str, str]) -> str:
    """The file of one seed's training rows; none asks a question that is measured."""
    chance, measured, rows = random.Random(seed), questions(held["in-domain"]), []
    while len(rows) < count:
        row = make_row(KNOWN, chance)
        if row["messages"][0]["content"] not in measured:
            rows.append(row)
    return _write(folder / f"train-{seed}.jsonl", rows)


def questions(file: str) -> set[str]:
    """The questions of a file."""
    return {json.loads(line)["messages"][0]["content"] for line in Path(file).read_text(encoding="utf-8").splitlines()}


def _write(file: Path, rows: list[dict[str, Any]]) -> str:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def new_model(folder: Path, train: str, seed: int) -> str:
    """A model with random weights whose tokenizer knows the training rows and the words that introduce tools."""
    react = Catalogue.installed().find("agent", "react").load()()
    lines = Path(train).read_text(encoding="utf-8").splitlines()
    introduced = [react.write_tools(tools=json.loads(line)["tools"], system="") for line in lines[:100]]
    return tiny_qwen2(folder / f"base-{seed}", lines + introduced, seed=seed)


def learn(folder: Path, base: str, train: str, seed: int, loss_scale: str, epochs: float) -> str:
    """The checkpoint of `base` after training with one loss scale."""
    done = run(
        "sft", model=base, dataset=[train], agent="react", loss_scale=loss_scale, template="chatml", tuner=["full"],
        output_dir=str(folder / f"{loss_scale}-{seed}"), num_train_epochs=epochs, per_device_train_batch_size=16,
        learning_rate=3e-3, weight_decay=0.01, warmup_ratio=0.1, logging_steps=20, save_strategy="no",
        seed=seed, data_seed=seed,
    )  # fmt: skip
    return done["checkpoint"]


def measure(model: str, held: dict[str, str]) -> dict[str, dict[str, float]]:
    """Domain → the metrics of the agent evaluator, in percent as the paper prints them."""
    done = run(
        "eval", model=model, evaluator=["agent"], eval_dataset=list(held.values()), agent="react", template="chatml",
        output_dir=str(Path(model, "eval")), max_new_tokens=64, max_batch_size=32,
    )  # fmt: skip
    named = {report["name"]: report["metrics"] for report in done["reports"]}
    return {domain: {m: 100 * named[Path(file).stem][m] for m in METRICS} for domain, file in held.items()}


def main(folder: Path, count: int = 2400, held: int = 100, epochs: float = 4, seeds: int = 3) -> Figures:
    """Everything, in a fresh `folder`; prints both tables and returns what stands in them, seed by seed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = held_out(folder, held)
    found: Figures = {domain: {line: [] for line in ("Original", *ARMS)} for domain in DOMAINS}
    for seed in range(seeds):
        train = training(folder, count, seed, files)
        base = new_model(folder, train, seed)
        _add(found, "Original", measure(base, files))
        for line, loss_scale in ARMS.items():
            _add(found, line, measure(learn(folder, base, train, seed, loss_scale, epochs), files))
            (folder / "figures.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for domain in DOMAINS:
        print(table(f"Full ({domain}) ablation tests for loss-scale, {seeds} seeds", found[domain]))
    return found


def _add(found: Figures, line: str, measured: dict[str, dict[str, float]]) -> None:
    for domain, metrics in measured.items():
        found[domain][line].append(metrics)


def table(title: str, lines: dict[str, list[dict[str, float]]]) -> str:
    """The paper's table: percent, mean ± standard deviation over the seeds."""
    head = f"{'Model':16}" + "".join(f"{name:>16}" for name in METRICS)
    body = [
        f"{line:16}" + "".join(f"{spread([metrics[m] for metrics in seeds]):>16}" for m in METRICS)
        for line, seeds in lines.items()
    ]
    return "\n".join([title, head, *body, ""])


def spread(values: list[float]) -> str:
    """Mean ± standard deviation; the value alone where there is one."""
    return f"{statistics.mean(values):.2f}" + (f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("output/agent"))
    parser.add_argument("--count", type=int, default=2400, help="training rows of each seed")
    parser.add_argument("--held", type=int, default=100, help="rows measured in each domain")
    parser.add_argument("--epochs", type=float, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    main(**vars(parser.parse_args()))
