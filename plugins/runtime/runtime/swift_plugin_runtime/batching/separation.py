"""The proof that rows laid end to end stay apart, in whatever precision a model computes.

Two questions are asked. Does anything of one row reach another? The gradient of a row's logits by the inputs of the
other rows is then not zero; where a mask keeps rows apart it is exactly zero, also in bfloat16 and on quantized
weights. Does each row have the logits that it has alone? That is true up to rounding, so the difference is compared
with what padding, which changes nothing either, makes of the same rows.

Layers of one kind are the same code, so that text is tried on the first of each kind; what fails there, and rows with
media, which may reach into several layers, on all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate, pairwise
from typing import Any

import torch

from swift_plugin_runtime.batching.collate import flat_batch, pad_batch
from swift_plugin_runtime.batching.shared_rows import BESIDE, laid_batch
from swift_plugin_runtime.encoding.media_check import media_in
from swift_plugin_runtime.loading.layers import base_of, keeps_logits
from swift_plugin_runtime.loading.shallow import tried

Rows = list[dict[str, Any]]

PROBE = 12
"""Tokens of each made-up row, and at the end of each row, that are compared."""

MARGIN = 4
"""Logits may differ by so many times what padding makes of them. A row that sees another differs by far more:
SmolLM2 in bfloat16 by 13 times, while flat rows that stay apart differ by 1.3 times."""

LEAST_EXACT, LEAST_ROUNDED = 1e-3, 0.02
"""Differences, in standard deviations of the logits, that always pass: in float32, and in fewer bits."""


def made_up(model: Any) -> Rows:
    """Two rows of random ids."""
    chance, size = torch.Generator().manual_seed(0), base_of(model).config.get_text_config().vocab_size
    return [{"input_ids": torch.randint(size, (PROBE,), generator=chance).tolist()} for _ in range(2)]


def as_long(row: dict[str, Any], rows: Rows) -> dict[str, Any]:
    """A row of text as long as the longest of `rows`, of the ids of `row` again and again."""
    ids = row["input_ids"]
    return {"input_ids": [ids[n % len(ids)] for n in range(max(len(other["input_ids"]) for other in rows))]}


def why_together(model: Any, positions: Any, media: Rows) -> str | None:
    """In what way rows laid end to end are not what they are alone, in words; None where they are.

    positions: a function from a row to its positions, as for `flat_batch`. media: encoded rows with media, tried
    beside made-up rows of text.
    """
    if media:
        return _why_together(model, positions, media)
    return tried(model, lambda: _why_together(model, positions, []))


def _why_together(model: Any, positions: Any, media: Rows) -> str | None:
    text = made_up(model)
    try:
        with quiet(model):
            bound = rounding_bound(model, text[0])
            reason = _tried(model, positions, text, [text], bound)
            if media and not reason:
                pairs = [list(pair) for pair in zip(media, [*media[1:], media[0]], strict=True)]
                reason = _tried(model, positions, [*media, *media], pairs, bound)
            if media and not reason:  # the row of text may take the picture's mask for its own
                reason = _tried(model, positions, [media[0], as_long(text[0], media)], [], bound)
            return reason
    except (IndexError, RuntimeError, TypeError, ValueError, AttributeError) as error:  # a class that looks into masks
        return f"it takes no rows laid end to end ({type(error).__name__}: {str(error).splitlines()[0][:200]})"


def _tried(model: Any, positions: Any, rows: Rows, pairs: list[Rows], bound: float) -> str | None:
    if any(_reach(model, positions, pair) for pair in pairs):
        return "one row reaches into the next"
    if _difference(model, positions, rows) > bound:
        return "a row behind another has other logits than alone"
    return None


@contextmanager
def quiet(model: Any) -> Iterator[None]:
    """The model without dropout; inside, gradients are asked for by name and none is left behind."""
    trains = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(trains)


@torch.no_grad()
def rounding_bound(model: Any, row: dict[str, Any]) -> float:
    """The largest difference, root mean square in standard deviations of the logits, that counts as rounding.

    row: a made-up one, by whose padding the model's own rounding is measured where it computes in fewer bits.
    """
    if all(p.dtype == torch.float32 for p in model.parameters() if p.is_floating_point()):
        return LEAST_EXACT
    longer = {"input_ids": [*row["input_ids"], *row["input_ids"]]}
    alone, padded = (_ends(model, pad_batch(rows, 0), [row]) for rows in ([row], [row, longer]))
    noise = float((padded - alone).square().mean().sqrt() / alone.std())
    return max(MARGIN * noise, LEAST_ROUNDED)


@torch.no_grad()
def _difference(model: Any, positions: Any, rows: Rows) -> float:
    """Between the logits of rows end to end and alone: root mean square, in standard deviations of the logits."""
    alone = torch.cat([_ends(model, pad_batch([row], 0), [row]) for row in rows])
    joined = _ends(model, flat_batch(rows, positions), rows)
    difference = (joined - alone).square().mean().sqrt() / alone.std()
    return float(difference.nan_to_num(torch.inf))


def _reach(model: Any, positions: Any, rows: Rows) -> bool:
    """Whether the logits of one of two rows have a gradient by what the other one holds."""
    inputs = _Inputs(model, flat_batch(rows, positions), rows)
    with torch.enable_grad(), inputs.watched():
        logits = _ends(model, inputs.batch, rows)
    chance = torch.Generator().manual_seed(0)
    weights = torch.randn(logits.shape, generator=chance).to(logits.device) / logits.numel() ** 0.5
    ends = [0, *accumulate(min(PROBE, len(row["input_ids"])) for row in rows)]
    for number, (first, behind) in enumerate(pairwise(ends)):
        asked = (logits[first:behind] * weights[first:behind]).sum()
        own, foreign = inputs.gradients(asked, number)
        if not own > 0:  # neither zero nor NaN: such a gradient would prove nothing
            raise ValueError("its logits have no gradient by its inputs")
        if foreign:
            return True
    return False


def why_not_shared(model: Any, flat: Any) -> str | None:
    """Why rows that begin alike cannot share their beginning in a flat batch, in words; None where they can.

    Two made-up rows are tried, of which the shorter one goes on from the other's beginning: each must have the logits
    that it has alone, and gradients by its own tokens only. flat: the collator of flat batches (`FlatRows`).
    """
    one, other = (row["input_ids"] for row in made_up(model))
    rows: Rows = [{"input_ids": [*one, *other]}, {"input_ids": [*one, *other[: PROBE // 2 : -1]]}]
    return tried(model, lambda: _why_not_shared(model, flat, rows))


def _why_not_shared(model: Any, flat: Any, rows: Rows) -> str | None:
    try:
        with quiet(model):
            return _tried_shared(model, flat, rows)
    except (IndexError, RuntimeError, TypeError, ValueError, AttributeError, AssertionError) as error:
        return f"the model takes no such rows ({type(error).__name__}: {str(error).splitlines()[0][:200]})"


def _tried_shared(model: Any, flat: Any, rows: Rows) -> str | None:
    batch = laid_batch(rows, [[0, 1]], flat)
    layout = batch.pop("layout").to(model.device)
    inputs = _Inputs(model, batch, [{"input_ids": batch["input_ids"][0].tolist()}])
    own = [line[: len(row["input_ids"])] for line, row in zip(layout.places, rows, strict=True)]
    asked = torch.cat([line[-PROBE // 3 :] for line in own])
    with torch.enable_grad(), inputs.watched(), layout.attended(model):
        shared = outputs_at(model, _on(model, inputs.batch), asked)
    for line, logits in zip(own, shared.chunk(len(own)), strict=True):
        if reason := _foreign(logits, inputs.leaves[-1][0], line):
            return reason
    with torch.no_grad():
        alone = [outputs_at(model, _on(model, pad_batch([row], 0)), line) for row, line in _last(model, rows)]
    wanted = torch.cat(alone)
    difference = (shared.detach() - wanted).square().mean().sqrt() / wanted.std()
    if not difference <= rounding_bound(model, made_up(model)[0]):
        return "an answer behind a shared beginning has other logits than alone"
    return None


def _last(model: Any, rows: Rows) -> Iterator[tuple[dict[str, Any], torch.Tensor]]:
    """Each row with the places of its last tokens in a batch of its own."""
    for row in rows:
        length = len(row["input_ids"])
        yield row, torch.arange(length - PROBE // 3, length, device=model.device)


def _foreign(logits: torch.Tensor, embeddings: torch.Tensor, own: torch.Tensor) -> str | None:
    """In what way the gradient of a row's logits by the embeddings [1, tokens, size] is not of its own places alone."""
    chance = torch.Generator().manual_seed(0)
    weights = torch.randn(logits.shape, generator=chance).to(logits.device) / logits.numel() ** 0.5
    (gradient,) = torch.autograd.grad((logits * weights).sum(), embeddings, retain_graph=True)
    sizes = gradient[0].abs().amax(1)
    if not bool(sizes[own].any()) or not bool(sizes.isfinite().all()):
        raise ValueError("its logits have no gradient by its inputs")
    sizes[own] = 0
    return "one answer reaches into the next" if bool(sizes.any()) else None


def _on(model: Any, batch: dict[str, Any]) -> dict[str, Any]:
    return {k: v.to(model.device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}


class _Inputs:
    """A flat batch of `rows` by whose embeddings and media tensors a gradient can be asked for."""

    def __init__(self, model: Any, batch: dict[str, Any], rows: Rows):
        self.model = model
        self.leaves: list[tuple[torch.Tensor, int, list[int]]] = []
        """(tensor, the dimension along which rows follow each other, where each begins and the last ends)"""
        self.batch = {key: self._leaf(key, value, rows) for key, value in batch.items()}
        self.lengths = [0, *accumulate(len(row["input_ids"]) for row in rows)]

    def _leaf(self, key: str, value: Any, rows: Rows) -> Any:
        if not (isinstance(value, torch.Tensor) and value.is_floating_point() and media_in({key: value})):
            return value
        parts = [0, *accumulate(row[key].shape[0] if key in row else 0 for row in rows)]
        if parts[-1] != value.shape[0]:
            return value
        leaf = value.to(self.model.device).detach().requires_grad_()
        self.leaves.append((leaf, 0, parts))
        return leaf.clone()  # some classes write into what they are given

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Inside, the first embeddings that the model looks up are leaves as well."""
        seen: list[torch.Tensor] = []

        def cut(_: Any, __: Any, output: torch.Tensor) -> torch.Tensor | None:
            if seen or output.dim() != 3 or output.shape[1] != self.lengths[-1]:
                return None
            seen.append(output.detach().requires_grad_())
            return seen[0].clone()

        handle = self.model.get_input_embeddings().register_forward_hook(cut)
        try:
            yield
        finally:
            handle.remove()
        if not seen:
            raise ValueError("its embeddings are not looked up by its own table")
        self.leaves.append((seen[0], 1, self.lengths))

    def gradients(self, asked: torch.Tensor, row: int) -> tuple[float, float]:
        """The largest size of a gradient of `asked` by the row's own embeddings, and by anything of other rows."""
        gradients = torch.autograd.grad(
            asked, [leaf for leaf, _, _ in self.leaves], retain_graph=True, allow_unused=True
        )
        own = foreign = 0.0
        for gradient, (_, dimension, parts) in zip(gradients, self.leaves, strict=True):
            if gradient is None:
                continue
            first, length = parts[row], parts[row + 1] - parts[row]
            inside = gradient.narrow(dimension, first, length)
            if dimension == 1:
                own = float(inside.abs().max())
            outside = gradient.clone()
            outside.narrow(dimension, first, length).zero_()
            foreign = max(foreign, float(outside.abs().max()))
        return own, foreign


def _ends(model: Any, batch: dict[str, Any], rows: Rows) -> torch.Tensor:
    """Logits of the last tokens of each row, as float32 [places, vocabulary]; the rows lie end to end in the first
    row of the batch."""
    ends = list(accumulate(len(row["input_ids"]) for row in rows))
    spans = [range(end - min(PROBE, len(row["input_ids"])), end) for row, end in zip(rows, ends, strict=True)]
    places = torch.tensor([place for span in spans for place in span], device=model.device)
    return outputs_at(model, _on(model, {k: v for k, v in batch.items() if k not in BESIDE}), places)


def outputs_at(model: Any, batch: dict[str, Any], places: torch.Tensor) -> torch.Tensor:
    """What a model says at places of its first row, as float32 [places, …]: logits, or where its head reads whole
    texts, the hidden states that the head is given."""
    if keeps_logits(model):
        return model(**batch, logits_to_keep=places, use_cache=False).logits[0].float()
    if base_of(model).get_output_embeddings() is None:
        return base_of(model).get_decoder()(**batch, use_cache=False).last_hidden_state[0, places].float()
    return model(**batch, use_cache=False).logits[0, places].float()
