"""The proof of a recipe: it prepares without a network, and it runs with a tiny model and its data's example rows."""

from __future__ import annotations

import copy
import json
import re
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swift_core.api import run
from swift_core.catalogue.entries import Catalogue
from swift_core.contract.cards import Family
from swift_core.contract.errors import SwiftError
from swift_core.contract.job import Job
from swift_core.contract.recipes import Recipe
from swift_core.contract.row import Row
from swift_core.data.convert import to_row
from swift_core.data.published import Published
from swift_core.job.family_lookup import find_family
from swift_core.job.options import Given, fields_of, split_arguments
from swift_core.job.prepare import prepare
from swift_core.job.recipes import given_of, words_of
from swift_core.templates.jinja import jinja

SMALL = {
    "max_steps": 2,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 1,
    "num_generations": 2,
    "max_completion_length": 8,
    "max_new_tokens": 8,
    "max_length": 2048,
    "num_return_sequences": 2,
    "threshold": None,
    "eval_limit": 2,
    "galore_rank": 4,
    "lora_rank": 4,
    "save_strategy": "no",
    "cache_dataset": False,
    "split_dataset_ratio": 0.0,
    "strict": True,
    "device": "cpu",
}
"""Values of a run with a tiny model, of the options that the job has."""

POSITIONS = 4096
"""Of a tiny encoder, whose tokenizer makes more tokens than the real one's: room for `max_length` above."""

ELSEWHERE = ("launcher", "nproc_per_node", "deepspeed", "fsdp", "attn_impl", "use_vllm", "rollout_backend")
"""Options that need several devices, a GPU or an environment of its own: a run on one CPU leaves them out."""

DATA = ("dataset", "val_dataset", "eval_dataset")
"""Options that name data sets: here without `#500`, which repeats rows where there are fewer."""

ROWS = 8
"""How often a data set's example row is repeated."""


def check_recipe(recipe: Recipe) -> Job:
    """The recipe as a prepared job. Nothing is fetched, and no library of models is imported.

    An AssertionError says what is missing; a SwiftError, which option, component, checkpoint or data set is wrong.
    """
    assert recipe.summary and len(recipe.summary) <= 120, f"Give {recipe.name} a summary of at most 120 characters."
    assert recipe.task, f"Say in {recipe.name} what the result is for: `task: chat`."
    assert recipe.notes or not recipe.needs, f"Say in the notes of {recipe.name} what --{recipe.needs[0]} should be."
    job = _prepared(recipe, given_of(recipe))
    command = _prepared(recipe, split_arguments(w for words in words_of(recipe)[1:] for w in words)[0])
    assert job.options == command.options, f"The command of {recipe.name} is another job: write options as --key value."
    for word in job.options.data_words() if hasattr(job.options, "data_words") else []:
        known = job.options.source_of(word)
        assert known.card or known.hub == "local", f"{recipe.name} names the data set {word}, which no card describes."
    return job


def _prepared(recipe: Recipe, given: list[Given]) -> Job:
    from swift_testing.contracts import bare_model

    said = dict.fromkeys(recipe.needs, bare_model())
    return prepare(recipe.job, [*given, *(Given(k, v, "test") for k, v in said.items())], Catalogue.installed())


def run_tiny(recipe: Recipe, folder: Path) -> Any:
    """Run the recipe in `folder`, two steps, with what stands in for its models and data; what the job returns.

    A model is replaced by a tiny one of its own family, with random weights; a data set by its card's example row;
    pictures, videos and sounds by random ones. What needs several devices, a GPU or an environment of its own is left
    out (`ELSEWHERE`), and small numbers take the place of large ones (`SMALL`).
    """
    job = check_recipe(recipe)
    options = tiny_options(recipe, job, folder)
    if recipe.job == "deploy":
        return _answered(options)
    return run(recipe.job, **options)


def tiny_options(recipe: Recipe, job: Job, folder: Path) -> dict[str, Any]:
    """The recipe's options, with what stands in for its models and data; `job`: the recipe, prepared."""
    left = {k: v for k, v in recipe.options.items() if k not in ELSEWHERE and not k.startswith("vllm_")}
    options = {k: _stand_in(v, folder) for k, v in left.items()} | {n: _trained(folder) for n in recipe.needs}
    if options.get("backend") == "vllm":
        del options["backend"]
    if recipe.model and "model_type" not in options:
        options["model_type"] = job.card.name  # a folder alone does not tell some families apart
    known = {name for owner in (job.options, *(c.component for c in job.selected)) for name in fields_of(type(owner))}
    options |= {name: value for name, value in SMALL.items() if name in known}
    options |= {name: [re.sub(r"#\d+$", "", w) for w in options[name]] for name in DATA if options.get(name)}
    words = [word for word in job.options.data_words() if "/" in word or job.options.source_of(word).card]
    for word in words:
        _write_data(job, word, folder)
    if words:
        options |= {"data_root": str(folder / "data"), "media_root": str(folder / "media")}
    places = {"output_dir": "run", "result_path": "result.jsonl", "output_file": "samples.jsonl"}
    return options | {name: str(folder / place) for name, place in places.items() if name in known}


# -- models -----------------------------------------------------------------------------------------------
def _stand_in(value: Any, folder: Path) -> Any:
    """A folder with a tiny checkpoint where the value is one that a card lists, else the value."""
    card = _family(value) if isinstance(value, str) and "/" in value else None
    if card is None:
        return value
    place = tiny_checkpoint(card, folder / card.name)
    if card.task != "causal_lm":
        _write_chat_template(card, Path(place))
    return place


def _write_chat_template(card: Family, folder: Path) -> None:
    """A model that judges conversations reads them as its checkpoint's own template writes them."""
    template = Catalogue.installed().find("template", card.template).load()
    (folder / "chat_template.jinja").write_text(jinja(template), encoding="utf-8")


def _family(model: str) -> Family | None:
    try:
        entry = find_family(Catalogue.installed(), model).entry
    except SwiftError:
        return None
    card: Family = entry.load()
    return card


def tiny_checkpoint(card: Family, folder: Path) -> str:
    """A tiny checkpoint of a family with its tokenizer, or processor where it sees or hears; written once."""
    from swift_testing.conformance.processors import make_processor
    from swift_testing.conformance.tiny_family import make_tokenizer, write_checkpoint
    from swift_testing.libraries import load

    if folder.exists():
        return str(folder)
    load()
    if set(card.modality) == {"text"}:
        changes = {"num_labels": 1} if card.task in ("reranker", "reward") else {}
        if card.task != "causal_lm":
            changes["max_position_embeddings"] = POSITIONS
        more = ("yes", "no") if card.task == "generative_reranker" else ()
        return write_checkpoint(card, folder, make_tokenizer(card, more), **changes)
    processor, changes = make_processor(card)
    return write_checkpoint(card, folder, processor, **changes)


def _trained(folder: Path) -> str:
    """A checkpoint of one LoRA step on a tiny Qwen2."""
    from swift_testing.contracts import CHAT, tiny_model, write_rows

    values = {"model": tiny_model("qwen2"), "dataset": [write_rows(folder, CHAT)], "max_steps": 1, "device": "cpu"}
    return str(run("sft", **values, output_dir=str(folder / "trained"))["checkpoint"])


def _answered(options: dict[str, Any]) -> str:
    """What the engine of a server answers: the job but for its port, which another test may hold."""
    from swift_core.contract.engine import Request, Sampling

    job = prepare("deploy", [Given(k, v, "test") for k, v in options.items()], Catalogue.installed())
    engine = job.hook.start_engine(job=job)
    try:
        row = to_row({"messages": [{"role": "user", "content": "What is 1 + 2?"}], "_where": "row"})
        (answer,) = engine.generate([Request(row, Sampling(max_new_tokens=4))])
        return str(answer.text)
    finally:
        engine.close()


# -- data -------------------------------------------------------------------------------------------------
def _write_data(job: Job, word: str, folder: Path) -> None:
    """What a word of --dataset names, as a folder laid out like its repository, with the media that it names."""
    source = job.options.source_of(word)
    card: Published = Catalogue.installed().find("dataset", source.card).load()
    part = next((p for p in card.variants.values() if p.layout.name == getattr(source.layout, "name", "")), card)
    example = part.example or card.example
    place = folder / "data" / source.id
    if not place.exists():
        place.mkdir(parents=True)
        files = [{"split": split, "path": "rows.jsonl"} for split in dict.fromkeys((source.split, *part.splits))]
        configs = [{"config_name": name, "data_files": files} for name in source.subset.split("+")]
        (place / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n", encoding="utf-8")
        lines = [json.dumps(example, ensure_ascii=False) + "\n"] * ROWS
        (place / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
    for row in _rows(part, example):
        for modality, paths in row.media.items():
            for path in paths:
                write_medium(modality, folder / "media" / str(path))


def _rows(part: Published, example: dict[str, Any]) -> Iterator[Row]:
    for raw in part.layout.rows({**copy.deepcopy(example), "_where": f"{part.name}, example"}):
        yield to_row(raw)


def write_medium(modality: str, file: Path) -> None:
    """A picture, four frames or a second of sound, of random values, as a file."""
    from swift_testing.conformance.media import medium

    file.parent.mkdir(parents=True, exist_ok=True)
    content = medium(modality, 1)
    if modality == "image":
        content.resize((256, 256)).save(file)  # boxes of example rows lie in it
    elif modality == "audio":
        with wave.open(str(file), "wb") as sound:
            sound.setparams((1, 2, 16000, 0, "NONE", ""))
            sound.writeframes((content * 32767).clip(-32768, 32767).astype("<i2").tobytes())
    else:
        _write_video(content, file)


def _write_video(frames: Any, file: Path) -> None:
    import av

    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=2)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
