"""Rollouts: which engine answers, the answers turn by turn, and the rows to learn from that they become."""

from __future__ import annotations

import dataclasses
import secrets
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from tqdm import tqdm

from swift_core import SwiftError
from swift_core.contract.engine import Engine, Reply, Request, RolloutEngine, Sampling
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_core.data.load import batches
from swift_core.inference.conversation import served_name
from swift_core.inference.ending import long_words
from swift_core.templates.encode import IGNORED
from swift_plugin_runtime.encoding.datasets import ENCODE_TOGETHER, EncodedRows, encoded_by, row_limit
from swift_plugin_runtime.encoding.row_filter import usable
from swift_plugin_runtime.inference.engine import TransformersEngine
from swift_plugin_runtime.loading.processor import tokenizer_of
from swift_plugin_runtime.options import training_options


@dataclass
class Rollout:
    """A conversation with the policy: its prompts, encoded, each with the answer to it.

    A later prompt begins with the tokens of the prompt and the answer before it.
    """

    turns: list[tuple[Request, Reply]]

    @property
    def row(self) -> Row:
        """The row that the conversation began with."""
        return self.turns[0][0].row

    @property
    def text(self) -> str:
        """The last answer."""
        return self.turns[-1][1].text

    @property
    def cut(self) -> bool:
        """Whether the last answer was cut at its limit."""
        return self.turns[-1][1].cut

    @property
    def length(self) -> int:
        """How many tokens the policy wrote."""
        return sum(len(reply.ids) for _, reply in self.turns)


def encode_prompts(job: Job, rows: list[Row], processor: Any, room: int, what: str = "prompts") -> EncodedRows:
    """Rows as requests with encoded prompts; one without `room` tokens for an answer is dropped, or an error.

    A row that asks nothing is a SwiftError, or is left out and counted under `--strict false`. Raises SwiftError where
    no prompt is left.
    """
    rows = usable(job, rows, _fault, "a question")
    if job.options.rollout_backend:
        _check_served(job, rows, processor)
    limit = row_limit(job, processor)
    longest = None if limit is None else limit - room
    if longest is not None and longest < 1:
        raise SwiftError(f"max_length {limit} leaves no prompt beside an answer of {room} tokens. Raise it.")
    items: list[Request] = []
    with tqdm(total=len(rows), desc=f"encoding {what}", disable=len(rows) < 512, leave=False) as bar:
        for group in batches(rows, ENCODE_TOGETHER):
            questions = [row.prompt() for row in group]
            encoded = encoded_by(job, questions, processor, generation=True)
            items += [Request(r, prompt=e) for r, e in zip(group, encoded, strict=True) if _fits(job, r, e, longest)]
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
    tokenizer = tokenizer_of(processor)
    words = long_words(job.one("template").stop_words(tokenizer), tokenizer)
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


def sampled(prompts: list[Request], sampling: Sampling, seed: int) -> list[Request]:
    """The prompts with this sampling, each with a seed of its own, whatever other batches and processes draw."""
    return [
        dataclasses.replace(p, sampling=dataclasses.replace(sampling, seed=(seed * 100_003 + place) % 2**63))
        for place, p in enumerate(prompts)
    ]


def roll_out(
    job: Job,
    engine: Engine,
    processor: Any,
    prompts: list[Request],
    sampling: Sampling,
    seed: int,
    max_turns: int = 1,
    together: int | None = None,
) -> list[Rollout]:
    """One answer to each prompt, and on from there where an environment responds: at most `max_turns` answers each.

    Repeat a prompt to draw a group. The same seed draws the same answers. together: most prompts that the engine is
    given at a time.
    """

    def answered(asked: list[Request], turn: int) -> list[tuple[Request, Reply]]:
        requests = sampled(asked, sampling, seed + 7919 * turn)
        replies = [reply for part in batches(requests, together or len(requests)) for reply in engine.generate(part)]
        return list(zip(requests, replies, strict=True))

    rollouts = [Rollout([pair]) for pair in answered(prompts, 0)]
    for turn in range(1, max_turns if job.many("environment") else 1):
        following = [(rollout, following_prompt(job, rollout, processor)) for rollout in rollouts]
        going_on = [(rollout, prompt) for rollout, prompt in following if prompt is not None]
        if not going_on:
            break
        pairs = answered([prompt for _, prompt in going_on], turn)
        for (rollout, _), pair in zip(going_on, pairs, strict=True):
            rollout.turns.append(pair)
    return rollouts


def following_prompt(job: Job, rollout: Rollout, processor: Any) -> Request | None:
    """The prompt to the next answer, None where nobody responds, the answer was cut, or no room is left.

    The tokens that the model drew stay as they are; behind them stand those which the template writes between
    the end of this answer and the start of the next. Raises SwiftError where the template would write the drawn
    tokens in another way.
    """
    request, reply = rollout.turns[-1]
    if reply.cut or not reply.text:
        return None
    before = request.row.prompt()
    answered = before.with_messages([*before.messages, {"role": "assistant", "content": reply.text}])
    said = response(job, answered)
    if not said:
        return None
    asked = answered.with_messages([*answered.messages, *said])
    (past,) = job.hook.encode(job=job, rows=[answered], processor=processor, generation=False)
    (whole,) = job.hook.encode(job=job, rows=[asked], processor=processor, generation=True)
    end = max((n + 1 for n, label in enumerate(past["labels"]) if label != IGNORED), default=0)
    if not end or whole["input_ids"][:end] != past["input_ids"][:end]:
        raise SwiftError(
            f"{rollout.row.where}: the template writes an answer otherwise once others follow it, so rollouts of "
            "several turns would learn from tokens that the model never wrote. Say --max_turns 1, or "
            "--preserve_thinking true where earlier thoughts are dropped."
        )
    inputs = _extended(_inputs(request), [*reply.ids, *whole["input_ids"][end:]])
    limit = row_limit(job, processor)
    return None if limit is not None and len(inputs["input_ids"]) >= limit else Request(asked, prompt=inputs)


def response(job: Job, row: Row) -> list[dict[str, Any]]:
    """The messages of the first environment, in option order, that responds to the answer; [] where none does."""
    for item in job.many("environment"):
        if said := job.call(item, "respond", row=row):
            return list(said)
    return []


def _inputs(request: Request) -> dict[str, Any]:
    """The encoded prompt of a rollout's request."""
    assert isinstance(request.prompt, dict)
    return request.prompt


def _extended(inputs: dict[str, Any], more: list[int]) -> dict[str, Any]:
    """Model inputs of a longer text; lists that run along the tokens go on with zeros."""
    length = len(inputs["input_ids"])
    longer = {
        k: [*v, *[0] * len(more)] if isinstance(v, list) and len(v) == length else v
        for k, v in inputs.items()
        if k != "attention_mask"
    }
    return {**longer, "input_ids": [*inputs["input_ids"], *more]}


def media_tokens(config: Any) -> tuple[int, ...]:
    """Ids that stand for pictures or sound in a prompt. An answer with one of them could not be read back."""
    names = [f"{medium}_token_{kind}" for medium in ("image", "video", "audio") for kind in ("id", "index")]
    return tuple(sorted({int(i) for name in names if isinstance(i := getattr(config, name, None), int)}))


def learning_row(rollout: Rollout) -> dict[str, Any]:
    """The conversation as an encoded row whose labels cover what the model wrote, as in supervised training."""
    request, reply = rollout.turns[-1]
    inputs = _extended(_inputs(request), reply.ids)
    labels = [IGNORED] * len(inputs["input_ids"])
    for asked, said in rollout.turns:
        start = len(_inputs(asked)["input_ids"])
        labels[start : start + len(said.ids)] = said.ids
    return {**inputs, "labels": labels}


# -- which engine answers: one over the model under training, or a server that follows the policy ---------------
POLICIES = ".rollouts"
"""The folder in the output folder from which a server reads the policy."""


class PolicyEngine:
    """The engine that answers with the policy as it is now.

    Under --rollout_backend a server follows the policy: its weights are `policy-RUN-STEP`, and every answer must name
    them. save: writes the policy alone into a folder, as a server loads it. policy: gives the policy, where the
    trainer's model is more than that.
    """

    def __init__(self, trainer: Any, save: Callable[[str], None], policy: Callable[[], Any] | None = None):
        self.trainer, self.job, self.save = trainer, trainer.job, save
        self.policy = policy or (lambda: trainer.model)
        self.root = Path(self.job.options.output_dir, POLICIES).resolve()
        self.run = ""
        self.step: int | None = None
        self.server: RolloutEngine | None = None
        self.engine: TransformersEngine | None = None

    def current(self) -> Engine:
        """The engine, with the policy of this step; every process must come here."""
        return self._followed() if self.job.options.rollout_backend else self.own()

    def own(self) -> Engine:
        """An engine over the model under training itself, as it is now."""
        policy = self.policy()
        if self.engine is None or self.engine.model is not policy:
            processor = self.trainer.processing_class
            window = row_limit(self.job, processor) or sys.maxsize
            name = served_name(self.job.options)
            self.engine = TransformersEngine(self.job, policy, processor, name, window=window)
        self.engine.forget()
        return self.engine

    def _followed(self) -> RolloutEngine:
        """The server, brought to the policy of this step; a collective over the processes, none if it is there."""
        step = self.trainer.state.global_step
        if self.server is None or step != self.step:
            self.run = self.run or _from_first(secrets.token_hex(4))
            version = f"policy-{self.run}-{step}"
            folder = self.root / version
            self.save(str(folder))
            self.server = self._brought(str(folder), version)
            self.step = step
        return self.server

    def _brought(self, folder: str, version: str) -> RolloutEngine:
        wait, first = self.trainer.accelerator.wait_for_everyone, self.trainer.accelerator.is_main_process
        wait()
        server = self.server or self._start(folder, first)
        server.follow(folder if first else None, version)
        if first:
            shutil.rmtree(folder)
        wait()
        return server

    def _start(self, folder: str, first: bool) -> RolloutEngine:
        processor = self.trainer.processing_class
        start = partial(self.job.hook.start_rollouts, job=self.job, folder=folder, processor=processor)
        server: RolloutEngine | None = start(address=None) if first else None
        self.server = server
        address = _from_first(server.address if server else None)
        return server or start(address=address)

    def close(self) -> None:
        """Stop the engine or server; the next rollout would start another."""
        if self.server is not None:
            self.server.close()
        if self.engine is not None:
            self.engine.close()
        self.server = self.step = self.engine = None
        if self.job.options.rollout_backend and self.trainer.accelerator.is_main_process:
            shutil.rmtree(self.root, ignore_errors=True)


def _from_first(value: Any) -> Any:
    """The first process's value, on all of them."""
    return broadcast_object_list([value])[0]
