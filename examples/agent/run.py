"""A tiny Qwen2 learns to call tools, in two formats, with and without the loss scale of agents.

    python examples/agent/run.py             # some minutes on two cores, nothing is downloaded

Rows are generated: a question in words, three of ten tools on offer, a call whose arguments are copied from the
question, the tool's result, the final answer. Held-out rows have names and numbers in combinations that no
training row has. Every model starts from the same random weights and sees the same rows in the same order; what
differs is the format (ReAct, Hermes) and the loss scale. Measured by `swift eval --evaluator agent`: Act.EM is the
share of calls that name the right tool, Avg.F1 the agreement of the arguments, R-L of the final answer.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core import run
from swift_core.catalogue import Catalogue
from swift_core.testing.tiny import tiny_qwen2

CITIES = (
    "Paris Rome Oslo Lima Cairo Quito Delhi Tokyo Seoul Berlin Madrid Dublin Athens Havana Nairobi 北京 上海".split()
)
PEOPLE = "Ada Alan Grace Edsger Barbara Donald Niklaus Tony Frances John Margaret Dennis Ken Radia Vint".split()
THINGS = "tea milk bread rice salt paper soap ink coal wool".split()


OFFERED = 3
"""Tools in each row."""


@dataclass(frozen=True)
class Tool:
    """A tool: how users ask for it, what it answers, and how that is told. Slots in braces are its arguments."""

    name: str
    about: str
    asked: str
    result: str
    told: str

    def schema(self) -> dict[str, Any]:
        """The OpenAI function schema."""
        slots = [slot for slot in VALUES if "{" + slot + "}" in self.asked]
        kinds = {slot: {"type": "integer" if slot in ("days", "amount") else "string"} for slot in slots}
        parameters = {"type": "object", "properties": kinds, "required": slots}
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.about, "parameters": parameters},
        }


VALUES = {"city": CITIES, "person": PEOPLE, "thing": THINGS, "days": range(1, 10), "amount": range(10, 100)}

TOOLS = [
    Tool("get_weather", "Weather", "How is the weather in {city}?", "sunny", "It is sunny in {city}."),
    Tool("forecast", "Forecast", "Will it rain in {city} within {days} days?", "rain", "Rain is coming to {city}."),
    Tool("get_time", "Local time", "What time is it in {city}?", "noon", "It is noon in {city}."),
    Tool("book_hotel", "Hotels", "I need a room in {city} for {days} nights.", "booked", "Your room is booked."),
    Tool("book_train", "Trains", "A train to {city}, please.", "booked", "Your train to {city} is booked."),
    Tool("send_mail", "Mail", "Write to {person} about {thing}.", "sent", "{person} has mail."),
    Tool("call_person", "Telephone", "Give {person} a ring.", "talked", "{person} knows."),
    Tool("pay", "Payments", "{person} gets {amount} euros from me.", "paid", "{person} has the money."),
    Tool("order", "Shop", "Buy {amount} pounds of {thing}.", "ordered", "The {thing} is on its way."),
    Tool("price", "Prices", "What does {thing} cost?", "cheap", "It is cheap."),
]


def make_row(chance: random.Random) -> dict[str, Any]:
    """One conversation: question, call, result, answer."""
    tool = chance.choice(TOOLS)
    others = chance.sample([t for t in TOOLS if t is not tool], OFFERED - 1)
    values = {slot: chance.choice(VALUES[slot]) for slot in VALUES}
    arguments = {slot: values[slot] for slot in tool.schema()["function"]["parameters"]["properties"]}
    messages = [
        {"role": "user", "content": tool.asked.format(**values)},
        {"role": "assistant", "content": "", "tool_calls": [{"name": tool.name, "arguments": arguments}]},
        {"role": "tool", "content": tool.result},
        {"role": "assistant", "content": f"Final Answer: {tool.told.format(**values)}"},
    ]
    return {"messages": messages, "tools": [t.schema() for t in chance.sample([tool, *others], OFFERED)]}


def write_rows(folder: Path, count: int, held: int) -> tuple[str, str]:
    """(training file, held-out file); no held-out question stands in the training file."""
    chance, asked = random.Random(0), set()
    rows: list[dict[str, Any]] = [make_row(chance) for _ in range(count)]
    asked = {row["messages"][0]["content"] for row in rows}
    fresh: list[dict[str, Any]] = []
    while len(fresh) < held:
        row = make_row(chance)
        if row["messages"][0]["content"] not in asked:
            fresh.append(row)
    return _write(folder / "train.jsonl", rows), _write(folder / "held.jsonl", fresh)


def _write(file: Path, rows: list[dict[str, Any]]) -> str:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def texts(train: str) -> list[str]:
    """What the tokenizer is made from: the rows, and the words with which each format introduces tools."""
    formats = [Catalogue.installed().find("agent", name).load()() for name in ("react", "hermes")]
    lines = Path(train).read_text(encoding="utf-8").splitlines()
    tools = [json.loads(line)["tools"] for line in lines[:200]]
    return lines + [f.write_tools(tools=t, system="") for f in formats for t in tools]


def learn(folder: Path, base: str, train: str, agent: str, loss_scale: str, epochs: float) -> str:
    """The checkpoint of `base` trained in one format with one loss scale."""
    done = run(
        "sft", model=base, dataset=[train], agent=agent, loss_scale=loss_scale, template="chatml", tuner=["full"],
        output_dir=str(folder / f"{agent}-{loss_scale}"), num_train_epochs=epochs, per_device_train_batch_size=16,
        learning_rate=3e-3, weight_decay=0.01, warmup_ratio=0.1, logging_steps=10, save_strategy="no",
    )  # fmt: skip
    return done["checkpoint"]


def measure(folder: Path, checkpoint: str, held: str) -> dict[str, float]:
    """The metrics of the agent evaluator on the held-out rows."""
    reports = run(
        "eval", ckpt_dir=checkpoint, evaluator=["agent"], eval_dataset=[held], output_dir=str(folder / "eval"),
        max_new_tokens=64, max_batch_size=32,
    )  # fmt: skip
    return reports[0]["metrics"]


def main(
    folder: Path, count: int = 2000, held: int = 200, epochs: float = 6
) -> dict[tuple[str, str], dict[str, float]]:
    """Everything, in a fresh `folder`; returns (format, loss scale) → metrics."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    train, fresh = write_rows(folder, count, held)
    base = tiny_qwen2(folder / "base", texts(train))
    found = {}
    for agent, loss_scale in RUNS:
        found[agent, loss_scale] = measure(folder, learn(folder, base, train, agent, loss_scale, epochs), fresh)
    table(found)
    return found


RUNS = [("react", "default"), ("react", "agentflan"), ("hermes", "default"), ("hermes", "hermes")]


def table(found: dict[tuple[str, str], dict[str, float]]) -> None:
    """The metrics, a line per run."""
    names = list(next(iter(found.values())))
    print(f"{'format':8} {'loss scale':12}" + "".join(f"{name:>11}" for name in names))
    for (agent, loss_scale), metrics in found.items():
        print(f"{agent:8} {loss_scale:12}" + "".join(f"{metrics[name]:11.3f}" for name in names))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("output/agent"))
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--epochs", type=float, default=6)
    arguments = parser.parse_args()
    main(arguments.folder, arguments.rows, epochs=arguments.epochs)
