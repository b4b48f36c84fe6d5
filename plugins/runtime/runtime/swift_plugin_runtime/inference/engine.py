"""An engine over a model in this process: requests are admitted between tokens, or answered in static batches.

Where a model passes the proof at load (`proof`), every call of it serves all who are being answered (`continuous`).
Where it does not, transformers' own `generate` answers a padded batch at a time (`static`): all requests, or those with
media of a kind that fails the proof (`media_proof`).
Either way an answer does not depend on what else is answered beside it, save for the rounding of the kernels.
"""

from __future__ import annotations

import atexit
import dataclasses
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import psutil
import torch

from swift_core import SwiftError
from swift_core.contract.engine import Heard, InUse, Listener, Reply, Request
from swift_core.contract.job import Job
from swift_core.inference.conversation import OPTIONAL, askable, room, streamed, window_of
from swift_core.inference.ending import ending_of, writer_of
from swift_plugin_runtime.inference.adapters import Adapters
from swift_plugin_runtime.inference.asked import Asked
from swift_plugin_runtime.inference.continuous import Continuous
from swift_plugin_runtime.inference.forms import Form, Forms
from swift_plugin_runtime.inference.known_ids import check_sampling, known_ids
from swift_plugin_runtime.inference.media_proof import tried_media
from swift_plugin_runtime.inference.proof import mixes_tokens, row_for, tried_ragged
from swift_plugin_runtime.inference.static import answer_together
from swift_plugin_runtime.loading.modes import evaluating
from swift_plugin_runtime.loading.processor import tokenizer_of

GATHER_SECONDS = 0.005
"""How long a static batch waits for company."""

CACHE_SHARE = 0.5
"""Share of the memory that is free at load which keys and values may take."""


class TransformersEngine:
    """A loaded model that answers; any number of threads may ask at once.

    name: of the base model. adapters: those that requests may name; None: the model answers as it is, whatever it
    holds. max_batch_size: most requests answered at a time; None: all. window: most tokens of prompt and answer
    together; None: what the model or --max_length allows.
    """

    batches_itself = True
    admits = True
    obeys = OPTIONAL
    changes_adapters = True

    def __init__(
        self,
        job: Job,
        model: Any,
        processor: Any,
        name: str,
        adapters: Adapters | None = None,
        max_batch_size: int | None = None,
        window: int | None = None,
    ):
        self.job, self.model, self.processor = job, model, processor
        self.tokenizer = tokenizer_of(processor)
        self.adapters = adapters
        self.models = [name, *(adapters.labels if adapters else [])]
        self.max_batch_size = max_batch_size
        self.window = window or window_of(job, model.config)
        self.pad = _first_not_none(self.tokenizer.pad_token_id, self.tokenizer.eos_token_id, 0)
        self.ending = ending_of(job, self.tokenizer, model.generation_config.eos_token_id)
        self.vocabulary = getattr(model.config.get_text_config(), "vocab_size", sys.maxsize)
        self.own_sampling = own_sampling(model.generation_config)
        self.forms = Forms(self.tokenizer, getattr(model.config.get_text_config(), "vocab_size", 0), self.ending.ids)
        self.encoding = threading.Lock()
        self.changed = threading.Condition()
        self.waiting: list[Asked] = []
        self.open: list[Asked] = []
        self.errands: list[tuple[Callable[[], None], Future[None]]] = []
        self.thread: threading.Thread | None = None
        self.media: frozenset[str] = frozenset()
        """Keys of encoded prompts with media that are admitted between tokens."""
        self.continuous = self._tried()

    def _tried(self) -> Continuous | None:
        """What admits between tokens; None, and one line that says why, where the model cannot."""
        reason, size = tried_ragged(self.model)
        if reason:
            self.job.say(f"requests are answered in static batches, not admitted between tokens: {reason}.")
            return None
        if self.adapters:
            self.adapters.mix_tokens = self.adapters.mixes and mixes_tokens(self.model, self.adapters)
            if self.adapters.take_turns:
                self.job.say("requests for different adapters take turns: these adapters do not mix in one call.")
        self.media, reasons = tried_media(self.job, self.model, self.processor)
        for modality, why in reasons.items():
            self.job.say(
                f"requests with {modality} are answered in static batches, not admitted between tokens: {why}."
            )
        most = int(CACHE_SHARE * _free_bytes(self.model.device) / max(size, 1))
        return Continuous(row_for(self.model), self.adapters, self.max_batch_size, most)

    # -- asking ---------------------------------------------------------------------------------------------
    def submit(self, request: Request, heard: Heard | None = None) -> Future[Reply]:
        """The reply to come; cancelling the future ends the answer between two tokens.

        heard: told each piece; False from it ends the answer. What is wrong with the request is the future's exception.
        """
        try:
            asked = self._asked(request, heard)
        except Exception as error:
            refused: Future[Reply] = Future()
            refused.set_exception(error)
            return refused
        self._add([asked])
        return asked.future

    def generate(self, requests: list[Request], listen: Listener | None = None) -> list[Reply]:
        """Answers in order; SwiftError before any if one cannot be asked."""
        every = [self._asked(r, partial(listen, place) if listen else None) for place, r in enumerate(requests)]
        self._add(every)
        try:
            return [asked.future.result() for asked in every]
        finally:
            for asked in every:
                asked.future.cancel()
            self._settle()

    def stream(self, request: Request) -> Generator[str, None, Reply]:
        """Pieces of one answer; joined they are what `generate` gives. Closing it ends the answer."""
        return streamed(partial(self.submit, request))

    def forget(self) -> None:
        """Drop what is kept of earlier answers, because the weights have changed."""
        if self.continuous:
            self.continuous.forget()

    def prepared(self, request: Request) -> Request:
        """The request with its prompt as tokens, checked. Raises SwiftError where it cannot be asked."""
        self._form(request, ())
        return dataclasses.replace(request, prompt=self._encoded(request)[0])

    def load_adapter(self, name: str, folder: str) -> None:
        """Load a plain LoRA adapter between two tokens of the answers under way.

        Raises SwiftError where the name is taken, or the adapter is another one or does not fit.
        """
        self._between(partial(self._load, name, folder))

    def unload_adapter(self, name: str) -> None:
        """Take an adapter out. Raises SwiftError where it is not there, and InUse where a request asks for it."""
        self._between(partial(self._unload, name))

    def close(self) -> None:
        """Refuse who waits, end who is being answered, and let go of the model."""
        with self.changed:
            every = list(self.open)
        for asked in every:
            asked.fail(SwiftError("The engine was closed."))
        self._settle()
        self.model = self.continuous = None

    # -- adapters: changed by the thread that calls the model ---------------------------------------------------
    def _between(self, errand: Callable[[], None]) -> None:
        done: Future[None] = Future()
        with self.changed:
            self.errands.append((errand, done))
            self._wake()
        done.result()

    def _run_errands(self) -> None:
        while self.errands:
            errand, done = self.errands.pop(0)
            try:
                errand()
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(None)

    def _load(self, name: str, folder: str) -> None:
        adapters = self._changeable()
        if name in self.models:
            raise SwiftError(f"There is a model {name!r} already.")
        mixed = adapters.mix_tokens
        adapters.add(name, folder)
        if not self._adapters_changed(added=name if mixed else None) and mixed:
            adapters.remove(name)
            self._adapters_changed(name)
            raise SwiftError(f"The adapter {name!r} does not mix with those that are loaded.")

    def _unload(self, name: str) -> None:
        adapters = self._changeable()
        if name not in adapters.labels:
            raise SwiftError(f"There is no adapter {name!r}.")
        with self.changed:
            if any(asked.request.adapter == name and not asked.ended for asked in self.open):
                raise InUse(f"The adapter {name!r} is answering; ask again when its requests have ended.")
        adapters.remove(name)
        self._adapters_changed(name)

    def _changeable(self) -> Adapters:
        if self.adapters is None:
            raise SwiftError("This engine answers with its model as it is; it loads no adapters.")
        return self.adapters

    def _adapters_changed(self, gone: str | None = None, added: str | None = None) -> bool:
        """Make everything know the adapters of now; whether tokens of different ones may share a row.

        added: the new one among others that mix.
        """
        assert self.adapters is not None
        adapters, self.model = self.adapters, self.adapters.model
        self.models = [self.models[0], *adapters.labels]
        tried = adapters.mixes and self.continuous is not None
        adapters.mix_tokens = tried and mixes_tokens(self.model, adapters, added)
        if self.continuous:
            self.continuous.renew(self.model, gone)
        return adapters.mix_tokens

    # -- requests ---------------------------------------------------------------------------------------------
    def _asked(self, request: Request, heard: Heard | None) -> Asked:
        """The request, checked and encoded."""
        inputs, most = self._encoded(request)
        writer = writer_of(self.job, self.processor, request, self.ending, most)
        return Asked(self.job, request, inputs, writer, heard, self._form(request, writer.ending.ids))

    def _form(self, request: Request, ends: Sequence[int]) -> Form | None:
        """What holds the answer to its form; SwiftError where that cannot be done."""
        guide = request.sampling.guide
        return self.forms.form(guide, ends) if guide else None

    def _encoded(self, request: Request) -> tuple[dict[str, Any], int]:
        """(the request's tokens and media, checked; the most tokens that its answer may have)."""
        if self.adapters:
            self.adapters.check(request)
        check_sampling(request.sampling, self.vocabulary, request.where)
        with self.encoding:  # a tokenizer serves one thread at a time
            inputs = self._inputs(request)
        return inputs, room(request, len(inputs["input_ids"]), self.window)

    def _inputs(self, request: Request) -> dict[str, Any]:
        if isinstance(request.prompt, dict):
            return request.prompt
        if isinstance(request.prompt, str):
            return {"input_ids": list(self.tokenizer(request.prompt)["input_ids"])}
        if request.prompt is not None:
            return {"input_ids": known_ids(list(request.prompt), self.vocabulary, request.where)}
        hook, rows = self.job.hook, [askable(request)]
        encoded: list[dict[str, Any]] = hook.encode(job=self.job, rows=rows, processor=self.processor, generation=True)
        return encoded[0]

    # -- answering: one thread, as long as there is something to do -------------------------------------------
    def _add(self, every: list[Asked]) -> None:
        with self.changed:
            self.open = [asked for asked in self.open if not asked.future.done()] + every
            self.waiting += every
            if every:
                self._wake()

    def _wake(self) -> None:
        if self.thread is None:
            self.thread = threading.Thread(target=self._work, name="engine", daemon=True)
            atexit.register(self.close)  # a thread inside of a kernel while Python ends would abort the process
            self.thread.start()
        self.changed.notify_all()

    def _settle(self) -> None:
        """Wait until the thread has let go of the model, unless others are being answered."""
        with self.changed:
            while self.thread and all(asked.future.done() for asked in self.open):
                self.changed.wait()

    def _work(self) -> None:
        while True:
            try:
                with evaluating(self.model), _on_device(self.model.device):
                    while self._turn():
                        pass
            except BaseException as error:  # a bug must answer those who wait, not leave them waiting
                self._fail(error)
            with self.changed:
                if not self.waiting and not self.errands:
                    self.thread = None
                    atexit.unregister(self.close)
                    self.changed.notify_all()
                    return

    def _fail(self, error: BaseException) -> None:
        with self.changed:
            every, self.waiting = self.open, []
        if self.continuous:
            self.continuous.running = []
        for asked in every:
            asked.fail(error)

    def _turn(self) -> bool:
        """A static batch, or steps until one is due; False where nothing is left to do."""
        self._run_errands()
        if (first := self._first()) is not None and self._static(first):
            self._answer_together()
        elif self.continuous and (first or self.continuous.running):
            with self.continuous.ready():
                self._steps(self.continuous)
        else:
            return False
        return True

    def _first(self) -> Asked | None:
        """Who has waited longest and still wants an answer."""
        with self.changed:
            self.waiting = [asked for asked in self.waiting if not asked.ended]
            return self.waiting[0] if self.waiting else None

    def _static(self, asked: Asked) -> bool:
        return self.continuous is None or not asked.media.keys() <= self.media

    def _steps(self, continuous: Continuous) -> None:
        while True:
            while (first := self._first()) and not self._static(first) and continuous.admits(first):
                self._leave([first])
                continuous.admit(first)
            if not continuous.running:
                return
            for asked in continuous.step():
                asked.finish()
            if self.errands or (first and self._static(first)):
                return

    def _leave(self, every: list[Asked]) -> None:
        with self.changed:
            self.waiting = [asked for asked in self.waiting if asked not in every]

    def _answer_together(self) -> None:
        """Answer the first who waits, and those who can share the batch."""
        if len(self.waiting) == 1:
            time.sleep(GATHER_SECONDS)
        with self.changed:
            every = [asked for asked in self.waiting if self._static(asked)]
        groups = (
            self.adapters.groups([asked.request for asked in every]) if self.adapters else [list(range(len(every)))]
        )
        batch = [every[place] for place in groups[0][: self.max_batch_size]]
        self._leave(batch)
        self._answer(batch)

    def _answer(self, batch: list[Asked]) -> None:
        """Answer a batch; where it fails, its halves, down to the request that is to blame."""
        try:
            with self._active([asked.request.adapter for asked in batch]) as extra:
                answer_together(self.model, batch, self.pad, extra)
        except Exception as error:
            fresh = [asked for asked in batch if not asked.ended]
            if len(batch) == 1 or any(asked.writer.ids for asked in fresh):
                for asked in fresh:
                    asked.fail(error)
                fresh = []
            for half in (fresh[: len(fresh) // 2], fresh[len(fresh) // 2 :]):
                if half:
                    self._answer(half)
        for asked in batch:
            if asked.writer.reason:
                asked.finish()

    def _active(self, names: list[str | None]) -> AbstractContextManager[dict[str, Any]]:
        return self.adapters.active(names) if self.adapters else nullcontext({})


def own_sampling(config: Any) -> dict[str, Any]:
    """Fields of `Sampling` as a generation config of transformers says them; what it leaves out is not there."""
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    said = {name: value for name in names if (value := getattr(config, name, None)) is not None}
    if config.do_sample is False:
        return {**said, "temperature": 0.0}
    return {"temperature": 1.0, **said} if config.do_sample else said


def _on_device(device: torch.device) -> AbstractContextManager[Any]:
    """Kernels that are compiled when they are first used look at the thread's current GPU."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def _first_not_none(*values: Any) -> Any:
    return next(value for value in values if value is not None)
