"""What may be picked: models of all cards and of folders here, checkpoints, data files. Nothing outside `Places`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swift_core.cli import quick
from swift_core.contract.source import is_data_file
from swift_core.jobs.checkpoints import number_of
from swift_plugin_webui.jobs.store import Store, shown

Choice = tuple[str, str]
"""(what is shown, the value)."""

DEEP = 3
"""Folders below an allowed one that are looked through."""

MOST = 2000
"""Folders that are looked at before a search ends: a picker must come at once."""

UPLOADS = "uploads"
"""Where uploaded data files lie, in the folder of the jobs."""


def card_rows() -> list[dict[str, Any]]:
    """A row per checkpoint of every installed family: id, family, modality, level, template."""
    rows: list[dict[str, Any]] = []
    for row in quick.known("rows"):
        for point in row.get("checkpoints", []):
            facts = {"family": row["name"], "modality": " ".join(row["modality"]), "level": row["level"]}
            rows.append({"id": point["modelscope"] or point["huggingface"], **facts, "template": point["template"]})
    return sorted(rows, key=lambda row: str(row["id"]).lower())


def models(store: Store) -> list[Choice]:
    """Folders with a config.json first, then all ids that cards know, with what they read and their level."""
    local = [(shown(path), shown(path)) for path in _folders(store) if (path / "config.json").is_file()]
    return [*local, *((f"{row['id']}  ·  {row['modality']}  ·  {row['level']}", row["id"]) for row in card_rows())]


def checkpoints_here(store: Store) -> list[Choice]:
    """Checkpoints of jobs, and those in `output` folders, the newest first."""
    places = [*store.folder.glob("*/output/checkpoint-*")]
    for folder in store.places.folders:
        places += [*folder.glob("output/*/checkpoint-*"), *folder.glob("checkpoint-*")]
    found = {path.resolve() for path in places if number_of(path) >= 0 and path.is_dir() and store.places.holds(path)}
    newest = sorted(found, key=lambda path: (path.parent.stat().st_mtime, number_of(path)), reverse=True)
    return [(shown(path), shown(path)) for path in newest]


def data_files(store: Store) -> list[Choice]:
    """Uploaded files, then data files in the allowed folders; a folder of a model holds none."""
    uploads = store.folder / UPLOADS
    own = sorted(uploads.iterdir()) if uploads.is_dir() else []
    others = [
        path
        for folder in _folders(store)
        if folder != uploads and not folder.is_relative_to(store.folder) and not (folder / "config.json").exists()
        for path in sorted(_files(folder))
    ]
    return [(shown(path), shown(path)) for path in [*own, *others] if is_data_file(path)]


def named() -> list[Choice]:
    """Published data sets by name, with what is said of each."""
    rows = [row for row in quick.known("rows") if row["kind"] == "dataset" and row.get("modality")]
    return [(f"{row['name']}  ·  {row['summary']}", row["name"]) for row in rows]


def recipes(jobs: tuple[str, ...], gib: int = 0) -> list[Choice]:
    """The recipes of some jobs with task, name, device and model, in order of their tasks.

    gib: memory of a device. Those that were counted to need more are left out; those that nobody counted come last.
    """
    rows = [row for row in quick.known("rows") if row["kind"] == "recipe" and row.get("job") in jobs]
    rows = [row for row in rows if not gib or memory_needed(row["hardware"]) <= gib]
    rows.sort(key=lambda row: (bool(gib) and not memory_needed(row["hardware"]), row["task"].lower(), row["name"]))
    return [(recipe_label(row), row["name"]) for row in rows]


def memory_needed(hardware: str) -> int:
    """The memory of each device that a recipe is counted for, in GB; 0 where nobody counted."""
    counted = re.search(r"of (\d+) GB", hardware)
    return int(counted[1]) if counted else 0


def recipe_label(row: dict[str, Any]) -> str:
    """What a list shows of a recipe; the list is searched by these words."""
    device = row["hardware"].partition(" (")[0]
    return "  ·  ".join(filter(None, [row["task"] or row["job"], row["name"], device, row["model"]]))


def datasets(store: Store) -> list[Choice]:
    """Data files, then the names of published data sets."""
    return [*data_files(store), *named()]


def _files(folder: Path) -> Iterator[Path]:
    try:
        yield from (Path(entry.path) for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False))
    except OSError:
        return


def _folders(store: Store) -> list[Path]:
    """The allowed folders and those below them, without hidden ones, links and virtual environments."""
    found, waiting = list[Path](), [(folder, 0) for folder in store.places.folders]
    while waiting and len(found) < MOST:
        folder, depth = waiting.pop(0)
        found.append(folder)
        if depth < DEEP:
            waiting += [(path, depth + 1) for path in sorted(_below(folder))]
    return list(dict.fromkeys(found))


def _below(folder: Path) -> Iterator[Path]:
    try:
        for entry in os.scandir(folder):
            hidden = entry.name.startswith((".", "__")) or entry.name in ("node_modules", "site-packages")
            if entry.is_dir(follow_symlinks=False) and not hidden:
                yield Path(entry.path)
    except OSError:
        return


def keep_upload(store: Store, file: str) -> str:
    """Move an uploaded file to where jobs find it; its name there. An earlier one of the same name stays."""
    uploads = store.folder / UPLOADS
    uploads.mkdir(exist_ok=True)
    name = Path(file).name.lstrip(".") or "data"
    target, number = uploads / name, 1
    while target.exists():
        number += 1
        target = uploads / f"{Path(name).stem}-{number}{Path(name).suffix}"
    Path(file).replace(target) if _same_disk(file, uploads) else _copied(file, target)
    return shown(target)


def _same_disk(file: str, folder: Path) -> bool:
    return Path(file).stat().st_dev == folder.stat().st_dev


def _copied(file: str, target: Path) -> None:
    import shutil

    shutil.copyfile(file, target)
