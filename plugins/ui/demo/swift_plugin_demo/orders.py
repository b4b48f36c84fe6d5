"""Rows of a small skill that can be checked: an order in plain words becomes a JSON record with five fixed keys.

Made by a seeded script, so that anyone can make them again. Held-out orders name people, goods and towns that no
training row names.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

ASKED = "Write this order as JSON with name, item, count, town and day. {}"
WAYS = (
    "This is {name}. Please send {count} {item} to {town} on {day}.",
    "{name} here: I need {count} {item} in {town} by {day}.",
    "Could you bring {count} {item} to {town} on {day}? My name is {name}.",
    "On {day} I would like to have {count} {item} in {town}. Thanks, {name}",
    "{count} {item} for {name}, please. Deliver them to {town} on {day}.",
    "Hello, {name} speaking. My shop in {town} runs out of {item}; we want {count} on {day}.",
)
"""How people order."""

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
COUNTS = "two three four five six seven eight nine ten eleven twelve".split()
"""Numbers from 2 up, as the orders say them; the record has digits."""

TRAINED = {
    "name": (
        "Ada Alan Grace Edsger Barbara Donald Niklaus Tony Frances John Margaret Dennis Radia Vint Lynn Ivan Shafi "
        "Leslie Yoshua Silvio Adele Butler Fernando Judea Whitfield Manuel Jean Katherine Dorothy Mary"
    ).split(),
    "item": (
        "lamps chairs carpets mirrors pillows clocks shelves blankets baskets candles benches pencils buckets towels "
        "hammers guitars helmets jackets gloves umbrellas notebooks brushes tents flowerpots magnets whistles trumpets "
        "scissors balloons doorbells"
    ).split(),
    "town": (
        "Paris Rome Oslo Lima Cairo Quito Delhi Seoul Madrid Dublin Athens Havana Nairobi Tokyo Berlin Accra Bogota "
        "Warsaw Prague Vienna Lisbon Montreal Sydney Houston Manila Hanoi Tunis Riga Geneva Santiago"
    ).split(),
}
HELD_OUT = {
    "name": "Emmy Sofia Henri Carl Rosalind Linus Hedy Kurt".split(),
    "item": "tables kettles bottles drawers ladders curtains".split(),
    "town": "Lyon Turin Bergen Lagos Kyoto Boston Porto".split(),
}
"""What training rows and held-out rows name; nothing stands in both."""


def write_orders(folder: Path, train: int, held: int) -> None:
    """`orders-train.jsonl` and `orders-test.jsonl` with so many rows, the same whenever they are written."""
    for name, count, values, seed in (("train", train, TRAINED, 0), ("test", held, HELD_OUT, 1)):
        chance = random.Random(seed)
        rows = [order(values, chance) for _ in range(count)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"orders-{name}.jsonl").write_text(text, encoding="utf-8")


def order(values: dict[str, list[str]], chance: random.Random) -> dict[str, str]:
    """One row: an order as query, its record as response."""
    drawn = {key: chance.choice(options) for key, options in values.items()}
    number, day = chance.randrange(len(COUNTS)), chance.choice(DAYS)
    said = chance.choice(WAYS).format(**drawn, count=COUNTS[number], day=day)
    record = {"name": drawn["name"], "item": drawn["item"], "count": number + 2, "town": drawn["town"], "day": day}
    return {"query": ASKED.format(said[0].upper() + said[1:]), "response": json.dumps(record)}
