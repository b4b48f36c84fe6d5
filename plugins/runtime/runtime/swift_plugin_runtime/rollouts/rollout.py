"""Rollouts: answers drawn from the model under training, scored by rewards, and turned into rows to learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from tqdm import tqdm

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_core.data.load import batches
from swift_core.templates.encode import IGNORED
from swift_plugin_runtime.batching.collate import pad_batch
from swift_plugin_runtime.encoding.datasets import ENCODE_TOGETHER, EncodedRows, encoded_by, row_limit
from swift_plugin_runtime.encoding.row_filter import usable
from swift_plugin_runtime.loading.processor import tokenizer_of
from swift_plugin_runtime.options import training_options


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn. max_new_tokens: upper bound in tokens. temperature: 0 is greedy. top_k: 0 is off."""

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


@dataclass(frozen=True)
class Prompt:
    """A question. inputs: the row encoded up to the header of the answer, as `encode` returns it."""

    row: Row
    inputs: dict[str, Any]


@dataclass
class Completion:
    """One drawn answer. ids: its tokens with the one that ends it. ended: False where it was cut at the limit.

    Of a conversation of several turns, ids are all tokens behind the prompt, `own` says which of them the model
    wrote (left out: all), text is its last answer, and `latest` the prompt to that.
    """

    prompt: Prompt
    ids: list[int]
    text: str
    ended: bool
    own: list[bool] | None = None
    latest: Prompt | None = None

    @property
    def written(self) -> list[bool]:
        """For each of the ids, whether the model wrote it."""
        return [True] * len(self.ids) if self.own is None else self.own


Drawer = Callable[[list[Prompt], Sampling, int], list[Completion]]
"""Answers prompts, one each, from a seed."""


def encode_prompts(job: Job, rows: list[Row], processor: Any, room: int, what: str = "prompts") -> EncodedRows:
    """Rows as `Prompt`s; one that leaves less than `room` tokens up to max_length is dropped or an error.

    A row that asks nothing raises, or is left out and counted under `--strict false`.
    """
    rows = usable(job, rows, _fault, "a question")
    if job.options.rollout_backend:
        _check_served(job, rows, processor)
    limit = row_limit(job, processor)
    longest = None if limit is None else limit - room
    if longest is not None and longest < 1:
        raise SwiftError(f"max_length {limit} leaves no prompt beside an answer of {room} tokens. Raise it.")
    items: list[Prompt] = []
    with tqdm(total=len(rows), desc=f"encoding {what}", disable=len(rows) < 512, leave=False) as bar:
        for group in batches(rows, ENCODE_TOGETHER):
            questions = [row.prompt() for row in group]
            encoded = encoded_by(job, questions, processor, generation=True)
            items += [Prompt(r, e) for r, e in zip(group, encoded, strict=True) if _fits(job, r, e, longest)]
            bar.update(len(group))
    if len(items) < len(rows):
        job.say(f"dropped {len(rows) - len(items)} of {len(rows)} {what} longer than {longest} tokens")
    if not items:
        raise SwiftError(f"No {what} are left: all {len(rows)} are longer than {longest} tokens.")
    return EncodedRows(items)


def _fault(row: Row) -> str | None:
    asked = row.prompt().messages
    return None if asked and asked[-1]["role"] != "system" else "the row asks nothing; it needs a user message."


def _check_served(job: Job, rows: list[Row], processor: Any) -> None:
    """SwiftError where the prompts or the end of an answer cannot be told to a server in token ids."""
    media = next((row for row in rows if row.media), None)
    if media is not None:
        raise SwiftError(
            f"{media.where}: --rollout_backend sends prompts as token ids, and this one has media; leave it out."
        )
    _, words = end_of_answer(job, tokenizer_of(processor))
    if words:
        raise SwiftError(
            f"Answers of the template {job.options.template!r} end with {words[0]!r}, which is several tokens; "
            "--rollout_backend ends an answer by one token. Leave it out, or choose another --template."
        )


def _fits(job: Job, row: Row, encoded: dict[str, Any], longest: int | None) -> bool:
    length = len(encoded["input_ids"])
    if longest is None or length <= longest:
        return True
    if training_options(job).truncation_strategy == "raise":
        raise SwiftError(f"{row.where}: a prompt of {length} tokens; max_length leaves {longest} beside the answer.")
    return False


def draw(job: Job, model: Any, processor: Any, prompts: list[Prompt], how: Sampling, seed: int) -> list[Completion]:
    """One answer to each prompt (repeat a prompt to draw a group), batched and padded on the left.

    The same seed draws the same answers, and the random state of the training is left as it was.
    """
    tokenizer = tokenizer_of(processor)
    ends, words = end_of_answer(job, tokenizer)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else ends[0]
    settings = transformers.GenerationConfig(
        max_new_tokens=how.max_new_tokens,
        do_sample=how.temperature > 0,
        **({"temperature": how.temperature, "top_p": how.top_p, "top_k": how.top_k} if how.temperature > 0 else {}),
        repetition_penalty=1.0,
        eos_token_id=ends,
        pad_token_id=pad,
        stop_strings=words or None,
        suppress_tokens=media_tokens(model.config) or None,
    )
    batch = pad_batch([p.inputs for p in prompts], pad, left=True)
    batch = {k: v.to(model.device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
    with _seeded(seed), evaluating(model):
        output = model.generate(
            **batch, generation_config=settings, use_cache=True, **({"tokenizer": tokenizer} if words else {})
        )
    drawn = output[:, batch["input_ids"].shape[1] :].tolist()
    return [completion_of(job, processor, p, ids, ends, pad) for p, ids in zip(prompts, drawn, strict=True)]


def converse(
    job: Job, drawer: Drawer, processor: Any, prompts: list[Prompt], how: Sampling, seed: int, turns: int
) -> list[Completion]:
    """One answer to each prompt, and on from there where an environment responds: at most `turns` answers each."""
    found = drawer(prompts, how, seed)
    for turn in range(1, turns if job.many("environment") else 1):
        following = {n: _following(job, completion, processor) for n, completion in enumerate(found)}
        asked = {n: prompt for n, prompt in following.items() if prompt is not None}
        if not asked:
            break
        drawn = drawer(list(asked.values()), how, seed + 7919 * turn)
        for n, more in zip(asked, drawn, strict=True):
            found[n] = _joined(found[n], more)
    return found


def _following(job: Job, done: Completion, processor: Any) -> Prompt | None:
    """The prompt to the next answer, None where nobody responds, the answer was cut, or no room is left.

    The tokens that the model drew stay as they are; behind them stand those which the template writes between
    the end of this answer and the start of the next.
    """
    before = done.prompt.row.prompt() if done.latest is None else done.latest.row
    if not done.ended or not done.text:
        return None
    answered = before.with_messages([*before.messages, {"role": "assistant", "content": done.text}])
    said = response(job, answered)
    if not said:
        return None
    asked = answered.with_messages([*answered.messages, *said])
    (past,) = job.hook.encode(job=job, rows=[answered], processor=processor, generation=False)
    (whole,) = job.hook.encode(job=job, rows=[asked], processor=processor, generation=True)
    end = max((n + 1 for n, label in enumerate(past["labels"]) if label != IGNORED), default=0)
    if not end or whole["input_ids"][:end] != past["input_ids"][:end]:
        raise SwiftError(
            f"{done.prompt.row.where}: the template writes an answer otherwise once others follow it, so rollouts of "
            "several turns would learn from tokens that the model never wrote. Say --max_turns 1, or "
            "--preserve_thinking true where earlier thoughts are dropped."
        )
    inputs = _extended(done.prompt.inputs, [*done.ids, *whole["input_ids"][end:]])
    limit = row_limit(job, processor)
    return None if limit is not None and len(inputs["input_ids"]) >= limit else Prompt(asked, inputs)


def response(job: Any, row: Row) -> list[dict[str, Any]]:
    """The messages of the first environment, in option order, that responds to the answer; [] where none does."""
    for item in job.many("environment"):
        if said := job.call(item, "respond", row=row):
            return list(said)
    return []


def _joined(first: Completion, more: Completion) -> Completion:
    """The conversation with one more answer."""
    behind = len(first.prompt.inputs["input_ids"])
    between = more.prompt.inputs["input_ids"][behind + len(first.ids) :]
    own = [*first.written, *[False] * len(between), *[True] * len(more.ids)]
    ids = [*first.ids, *between, *more.ids]
    return Completion(first.prompt, ids, more.text, more.ended, own, more.prompt)


def _extended(inputs: dict[str, Any], more: list[int]) -> dict[str, Any]:
    """Model inputs of a longer text; lists that run along the tokens go on with zeros."""
    length = len(inputs["input_ids"])
    longer = {
        k: [*v, *[0] * len(more)] if isinstance(v, list) and len(v) == length else v
        for k, v in inputs.items()
        if k != "attention_mask"
    }
    return {**longer, "input_ids": [*inputs["input_ids"], *more]}


def media_tokens(config: Any) -> list[int]:
    """Ids that stand for pictures or sound in a prompt. An answer with one of them could not be read back."""
    names = [f"{medium}_token_{kind}" for medium in ("image", "video", "audio") for kind in ("id", "index")]
    return sorted({int(i) for name in names if isinstance(i := getattr(config, name, None), int)})


def end_of_answer(job: Job, tokenizer: Any) -> tuple[list[int], list[str]]:
    """(token ids that end an answer, stop words that are several tokens long) of the job's template."""
    ids, words = [], []
    for word in job.one("template").stop_words(tokenizer):
        tokens = tokenizer(word, add_special_tokens=False)["input_ids"]
        ids += tokens if len(tokens) == 1 else []
        words += [word] if len(tokens) > 1 else []
    if not ids and tokenizer.eos_token_id is not None:
        ids = [tokenizer.eos_token_id]
    return list(dict.fromkeys(ids)), words


def completion_of(
    job: Job, processor: Any, prompt: Prompt, ids: list[int], ends: list[int], pad: int | None
) -> Completion:
    """The drawn ids up to the first that ends the answer; what follows is padding. pad: None where there is none."""
    end = next((place for place, token in enumerate(ids) if token in ends), None)
    if end is not None:
        kept = ids[: end + 1]
    else:  # cut at the limit, or stopped by a word of several tokens, behind which stands padding
        kept = ids[: len(ids) - next((n for n, token in enumerate(reversed(ids)) if token != pad), 0)]
    text = job.hook.decode(job=job, ids=kept, processor=processor)
    return Completion(prompt, kept, text, ended=end is not None or len(kept) < len(ids))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """The model without dropout and without gradients, then in the mode it was in."""
    was = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was)


def learning_row(completion: Completion) -> dict[str, Any]:
    """Prompt and answer as an encoded row whose labels cover what the model wrote, as in supervised training."""
    inputs = completion.prompt.inputs
    labels = [i if own else IGNORED for i, own in zip(completion.ids, completion.written, strict=True)]
    return {**_extended(inputs, completion.ids), "labels": [IGNORED] * len(inputs["input_ids"]) + labels}
