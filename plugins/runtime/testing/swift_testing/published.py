"""The proof of a published data set's card on its own example."""

from __future__ import annotations

import copy
import json
from pathlib import Path

from swift_core.contract.row import Row
from swift_core.data.convert import to_row
from swift_core.data.published import Published


def check_card(card: Published) -> list[Row]:
    """The rows that the card's examples become, one list over all its readings.

    An AssertionError says what is missing; a SwiftError says where an example is not as the card declares.
    """
    assert card.summary and len(card.summary) <= 120, f"Give {card.name} a summary of at most 120 characters."
    assert card.task and card.source, f"Say task and source of {card.name}."
    readings = list(card.readings())
    assert readings, f"Give {card.name} an example: one row in its own columns."
    return [row for reading in readings for row in _rows(reading)]


def _rows(card: Published) -> list[Row]:
    assert card.example, f"Give {card.name} an example: one row in its own columns."
    rows = [to_row(raw) for raw in card.layout.rows({**copy.deepcopy(card.example), "_where": f"{card.name}, example"})]
    assert rows, f"{card.name} does not keep its own example."
    for row in rows:
        missing = [name for name in card.modality if name != "text" and not row.media.get(name)]
        assert not missing, f"{card.name} says that its rows hold {missing[0]}, and the example has none."
        strange = [name for name in row.media if name not in card.modality]
        assert not strange, f"The example of {card.name} holds {strange[0]}: add it to modality."
    return rows


def write_like_a_hub(card: Published, root: Path, count: int = 1) -> None:
    """The card's example, so many times, in a folder under `root` that is laid out like its repository on a hub."""
    part = card.part("")
    folder = root / (card.modelscope or card.huggingface)
    folder.mkdir(parents=True)
    files = [{"split": split, "path": "rows.jsonl"} for split in part.splits]
    configs = [{"config_name": name, "data_files": files} for name in part.subset.split("+")]
    (folder / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n", encoding="utf-8")
    lines = [json.dumps(next(card.readings()).example, ensure_ascii=False) + "\n"] * count
    (folder / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
