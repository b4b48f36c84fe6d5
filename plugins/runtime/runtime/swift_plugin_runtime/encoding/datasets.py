"""Encoded rows as torch data sets: all at once and stored, one by one when their turn comes, or as a stream."""

from __future__ import annotations

import bisect
import contextlib
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from tqdm import tqdm

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_core.data.faults import NAMED, listed, unforeseen
from swift_core.data.load import batches
from swift_core.data.stream import RowStream, in_groups, shuffled
from swift_plugin_runtime.encoding import arrow_cache
from swift_plugin_runtime.encoding.forked import in_processes, settled_heap
from swift_plugin_runtime.options import training_options

ENCODE_TOGETHER = 64
"""Rows per tokenizer call; larger batches gain nothing measurable."""

STORE_FROM = 512
"""Rows of text from which a set is stored compactly, and on disk for the next run."""

LAZY_FROM = 256
"""Rows with media from which each is encoded when its turn comes: all their tensors would not fit into memory."""

OPEN_PACKS = 256
"""Packs of a stream that wait for a row that fits; the fullest is given away when one more is begun."""


class EncodedRows(torch.utils.data.Dataset):
    """Rows encoded through the job's template. Item i is a dict as `encode` returns it."""

    def __init__(self, items: list[Any]):
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]

    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return [len(item["input_ids"]) for item in self.items]


class Encoder:
    """Rows into training rows of at most `limit` tokens, by the job's template; counts what it drops and cuts."""

    def __init__(self, job: Job, processor: Any):
        self.job, self.processor = job, processor
        self.limit, self.strategy = row_limit(job, processor), training_options(job).truncation_strategy
        self.counts: dict[str, int] = {"seen": 0, "long": 0, "bad": 0}
        self.first_bad: list[str] = []

    def __call__(self, rows: list[Row]) -> list[dict[str, Any] | None]:
        """One training row each, None for one that is dropped: too long, or bad under `--strict false`."""
        try:
            encoded: list[Any] = encode_some(self.job, rows, self.processor)
        except SwiftError as error:
            if self.job.options.strict:
                raise
            if len(rows) > 1:
                return [self([row])[0] for row in rows]
            encoded = [None]
            self.counts["bad"] += 1
            self.first_bad = [*self.first_bad, str(error)][:NAMED]
        self.counts["seen"] += len(rows)
        return [self._fitted(row, item) for row, item in zip(rows, encoded, strict=True)]

    def _fitted(self, row: Row, item: dict[str, Any] | None) -> dict[str, Any] | None:
        kept = None if item is None else fit(item, self.limit, self.strategy, row.where)
        self.counts["long"] += item is not None and kept is not item
        return kept

    def said(self) -> dict[str, Any]:
        """The counts, to keep or to send."""
        return {**self.counts, "first_bad": self.first_bad}

    def add(self, said: dict[str, Any]) -> None:
        """Take over the counts of another."""
        self.first_bad = [*self.first_bad, *said["first_bad"]][:NAMED]
        self.counts = {name: n + said[name] for name, n in self.counts.items()}

    def report(self, what: str) -> None:
        """Tell the user what was dropped or cut."""
        counts = self.counts
        if counts["long"]:
            verb = "dropped" if self.strategy == "delete" else "cut"
            self.job.say(f"{verb} {counts['long']} of {counts['seen']} {what} longer than {self.limit} tokens")
        if counts["bad"]:
            self.job.say(f"skipped {counts['bad']} bad {what}{listed(counts['bad'], self.first_bad)}")


class LazyRows(torch.utils.data.Dataset):
    """Rows that are encoded when they are fetched. In place of one that is dropped stands the next that is not."""

    def __init__(self, rows: list[Row], encoder: Encoder):
        self.rows, self.encoder = rows, encoder

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self.rows):
            raise IndexError(index)
        return self.__getitems__([index])[0]

    def __getitems__(self, indexes: list[int]) -> list[dict[str, Any]]:
        """Several rows, tokenized together."""
        items = self.encoder([self.rows[index] for index in indexes])
        return [self._next(index) if item is None else item for index, item in zip(indexes, items, strict=True)]

    def _next(self, index: int) -> dict[str, Any]:
        for step in range(1, len(self.rows)):
            item = self.encoder([self.rows[(index + step) % len(self.rows)]])[0]
            if item is not None:
                return item
        raise nothing_left("rows", self.encoder)

    def lengths(self) -> list[int]:
        """Tokens of each row, 0 for one that is dropped: goes through all of them."""
        groups = tqdm(list(batches(self.rows, ENCODE_TOGETHER)), desc="measuring rows", leave=False)
        return [0 if item is None else len(item["input_ids"]) for group in groups for item in self.encoder(group)]


class PackedRows(torch.utils.data.Dataset):
    """Lists of rows of another data set, which the flat collator lays end to end."""

    def __init__(self, rows: Any, packs: list[list[int]]):
        self.rows, self.packs = rows, packs

    def __len__(self) -> int:
        return len(self.packs)

    def __getitem__(self, index: int) -> list[dict[str, Any]]:
        return [self.rows[n] for n in self.packs[index]]


class StreamedRows(torch.utils.data.IterableDataset):
    """Rows read, encoded and, with a `limit`, packed while training runs. Each pass reads anew, in another order.

    shuffle: rows among which the next one is drawn, 1 for the order as it is. share: (this process's number, how many
    there are, rows that each takes at a time): a process encodes its own rows alone, and several workers share those.
    """

    def __init__(
        self,
        rows: RowStream,
        encoder: Encoder,
        seed: int,
        shuffle: int,
        limit: int | None = None,
        share: tuple[int, int, int] = (0, 1, 1),
    ):
        self.rows, self.encoder, self.seed, self.shuffle, self.limit = rows, encoder, seed, shuffle, limit
        self.share = share
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The order of rows depends on seed and epoch alone."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        rows: Iterable[Row] = shuffled(self.rows, self.shuffle, self.seed + self.epoch)
        number, shares, together = self.share
        rows = (row for place, row in enumerate(rows) if place // together % shares == number)
        worker = torch.utils.data.get_worker_info()
        if worker is not None:
            rows = (row for number, row in enumerate(rows) if number % worker.num_workers == worker.id)
        items = (item for group in in_groups(rows, ENCODE_TOGETHER) for item in self.encoder(group) if item is not None)
        yield from items if self.limit is None else packs_of(items, _length, self.limit, OPEN_PACKS)
        self.encoder.report("rows so far")


class PassAfterPass(torch.utils.data.IterableDataset):
    """A stream without an end: one pass after the other, each in its own order.

    A resume skips the batches that were trained, in whichever pass they were: the trainer sees one pass only.
    """

    def __init__(self, stream: StreamedRows):
        self.stream = stream

    def __iter__(self) -> Iterator[Any]:
        for number in itertools.count():
            self.stream.set_epoch(number)
            empty = True
            for item in self.stream:
                empty = False
                yield item
            if empty:
                raise nothing_left("rows", self.stream.encoder)


def encode_rows(job: Job, rows: list[Row], processor: Any, what: str = "rows") -> Any:
    """Rows as a data set: stored where they are text, encoded one by one where many have media.

    Every row that is encoded here is checked; what is too long is dropped or cut, and its effect said.
    """
    encoder, media = Encoder(job, processor), sum(bool(row.media) for row in rows)
    lazy = media > LAZY_FROM if training_options(job).lazy_tokenize is None else training_options(job).lazy_tokenize
    if lazy:
        job.say(f"{what} are encoded when their turn comes; --lazy_tokenize false encodes them first")
        return LazyRows(rows, encoder)
    dataset: Any = _stored(rows, encoder, what) if len(rows) >= STORE_FROM and not media else None
    if dataset is None:
        dataset = EncodedRows([item for item in _all(rows, encoder, what, lambda items: items) if item is not None])
    encoder.report(what)
    if not len(dataset):
        raise nothing_left(what, encoder)
    return dataset


def nothing_left(what: str, encoder: Encoder) -> SwiftError:
    """The error where every row was dropped."""
    counts = encoder.counts
    return SwiftError(
        f"No {what} are left: of {counts['seen']}, {counts['long']} are longer than max_length {encoder.limit}"
        + (f" and {counts['bad']} are bad{listed(counts['bad'], encoder.first_bad)}" if counts["bad"] else ".")
    )


def _stored(rows: list[Row], encoder: Encoder, what: str) -> arrow_cache.StoredRows | None:
    """Rows of text, from the cache or for it; None where they hold more than can be stored."""
    job = encoder.job
    file = arrow_cache.file_for(job, rows, encoder.processor) if training_options(job).cache_dataset else None
    stored = arrow_cache.open_cached(file, job.say) if file else None
    if stored is not None:
        job.say(f"{len(stored)} encoded {what} are at hand from an earlier run ({file})")
        encoder.add(stored.said)
        return stored
    first = Encoder(job, encoder.processor)(rows[:1])[0]
    if first is not None and not arrow_cache.fits(first):
        return None
    arrow_cache.prune()
    made = _all(rows, encoder, what, lambda items: [arrow_cache.batch_of([i for i in items if i is not None])])
    return arrow_cache.write(list(made), encoder.said(), file)


def _all(rows: list[Row], encoder: Encoder, what: str, keep: Callable[[list[Any]], list[Any]]) -> Iterator[Any]:
    """What `keep` makes of the encoded rows, group by group in order, with a progress bar; on several processes."""
    groups = list(batches(rows, ENCODE_TOGETHER))

    def work(mine: Iterable[list[Row]]) -> Iterator[list[Any]]:
        return (keep(encoder(group)) for group in mine)

    few = len(rows) < STORE_FROM
    bar = tqdm(total=len(rows), desc=f"encoding {what}", disable=few, leave=False)
    with bar, contextlib.nullcontext() if few else settled_heap():
        for made in in_processes(work, groups, encoder, training_options(encoder.job).dataset_num_proc):
            yield from made
            bar.update(min(ENCODE_TOGETHER, len(rows) - bar.n))


def encode_some(job: Job, rows: list[Row], processor: Any) -> list[dict[str, Any]]:
    """A few rows through the `encode` hook, for training. Raises SwiftError for a row in which nothing is trained."""
    encoded = encoded_by(job, rows, processor, generation=False)
    for row, item in zip(rows, encoded, strict=True):
        if all(label == -100 for label in item["labels"]):
            raise SwiftError(f"{row.where}: nothing in this row is trained; check its answer and --loss_scale.")
    return encoded


def encoded_by(job: Job, rows: list[Row], processor: Any, generation: bool) -> list[dict[str, Any]]:
    """The `encode` hook's answer; what it raises over a row's content becomes a SwiftError that names the row."""
    try:
        return job.hook.encode(job=job, rows=rows, processor=processor, generation=generation)
    except (SwiftError, *STUMBLES) as error:
        if len(rows) > 1:
            return [item for row in rows for item in encoded_by(job, [row], processor, generation)]
        if not isinstance(error, SwiftError):
            raise unforeseen(rows[0].where, error) from error
        if rows[0].where in str(error):
            raise
        raise SwiftError(f"{rows[0].where}: {error}") from error


STUMBLES = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What code raises over content that it did not foresee."""


def row_limit(job: Job, processor: Any) -> int | None:
    """Longest row in tokens: --max_length, else the tokenizer's own limit where it states one."""
    if job.options.max_length:
        return int(job.options.max_length)
    stated = getattr(getattr(processor, "tokenizer", processor), "model_max_length", None)
    return int(stated) if stated and stated < 10**7 else None


def fit(item: dict[str, Any], limit: int | None, strategy: str, where: str) -> dict[str, Any] | None:
    """The row itself where it is short enough; cut, None (dropped) or an error by `strategy` where not.

    strategy: left, right, delete or raise; `raise` raises SwiftError, which begins with `where`.
    """
    length = len(item["input_ids"])
    if limit is None or length <= limit:
        return item
    if strategy == "raise":
        raise SwiftError(f"{where}: {length} tokens, more than max_length {limit}. Raise it, or cut or delete rows.")
    has_media = any(isinstance(v, torch.Tensor) for v in item.values())
    if strategy == "delete" or has_media:
        return None  # a cut through an image would leave features without their tokens
    window = slice(length - limit, None) if strategy == "left" else slice(0, limit)
    short = {k: v[window] if isinstance(v, list) and len(v) == length else v for k, v in item.items()}
    return short if any(label != -100 for label in short["labels"]) else None


def pack(rows: Any, limit: int, seed: int) -> PackedRows:
    """Rows joined into packs of at most `limit` tokens each, best fit first on a shuffled order."""
    lengths = rows.lengths()
    order = [index for index, length in enumerate(lengths) if length]
    random.Random(seed).shuffle(order)
    return PackedRows(rows, list(packs_of(order, lengths.__getitem__, limit, len(order))))


def packs_of(items: Iterable[Any], length: Callable[[Any], int], limit: int, most_open: int) -> Iterator[list[Any]]:
    """Lists of items of at most `limit` together: each goes where it leaves the least room, the full ones leave.

    most_open: lists that may wait for more; beyond that the fullest is given away. An item longer than `limit` is a
    list by itself.
    """
    waiting: list[tuple[int, int]] = []  # (room, number), least room first
    packs: dict[int, list[Any]] = {}
    for number, item in enumerate(items):
        size = length(item)
        place = bisect.bisect_left(waiting, (size, -1))
        room, chosen = waiting.pop(place) if place < len(waiting) else (limit, number)
        packs.setdefault(chosen, []).append(item)
        if room > size:
            bisect.insort(waiting, (room - size, chosen))
        else:
            yield packs.pop(chosen)
        if len(waiting) > most_open:
            yield packs.pop(waiting.pop(0)[1])
    yield from packs.values()


def _length(item: dict[str, Any]) -> int:
    return len(item["input_ids"])
