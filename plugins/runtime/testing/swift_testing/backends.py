"""What the tests of backends share: engines over a model that knows its lessons, and how each of them must answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from swift_core.contract.engine import Engine, Reply, Request
from swift_core.contract.errors import SwiftError
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_testing.serving import LESSONS, WEATHER, random_lora, taught_qwen2

ADAPTERS = ("one", "two")
"""Names of the random LoRA adapters that stand beside the taught model."""


def start(**options: Any) -> Any:
    """A running engine of an infer job with these options."""
    job = prepare("infer", [Given(k, v, "test") for k, v in options.items()])
    return job.hook.start_engine(job=job)


def user(text: str, **more: Any) -> Request:
    """A request with one user message; more: fields of `Row` and `Sampling`, and the adapter."""
    return Request.of([{"role": "user", "content": text}], **{"max_new_tokens": 40, **more})


def taught_options(folder: Path) -> dict[str, Any]:
    """Options for engines over a taught model and its adapters in float32, all made in `folder`."""
    taught = taught_qwen2(folder / "taught")
    named = [f"{name}={random_lora(taught, folder / name, seed)}" for seed, name in enumerate(ADAPTERS)]
    return {"ckpt_dir": taught, "adapters": named, "torch_dtype": "float32"}


@contextmanager
def beside_transformers(options: dict[str, Any], **backend: Any) -> Iterator[tuple[Any, Any]]:
    """(an engine of a backend, one of `transformers`) over the same model. options: as `taught_options` gives them."""
    theirs = start(**options, **backend)
    try:
        yield theirs, start(**options)
    finally:
        theirs.close()


def asked_of_all() -> list[Request]:
    """Greedy questions: lessons with and without adapters, stop texts, limits, tools, texts to go on from."""
    requests = [user(row["query"], adapter=name) for row in LESSONS[:4] for name in (None, *ADAPTERS)]
    requests += [user("Never taught."), user(LESSONS[0]["query"], stop=["like", "x"])]
    requests.append(user(LESSONS[3]["query"], max_new_tokens=2))
    requests.append(user("Weather in Paris?", tools=[WEATHER], max_new_tokens=60))
    requests.append(Request.of(prompt="<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\nHello"))
    return requests


def without_ids(replies: list[Reply]) -> list[Reply]:
    """Replies as a server gives them that tells texts alone."""
    return [dataclasses.replace(reply, ids=[]) for reply in replies]


class AnswersContract:
    """How a backend with a real model answers. A subclass stands in a module with the fixture `engines`.

    That is what `beside_transformers` yields.
    """

    def test_greedy_answers_equal_transformers(self, engines: tuple[Engine, Engine]) -> None:
        """In float32, token by token: adapters by name, stop texts, limits, tools, prompts of text."""
        theirs, ours = (without_ids(engine.generate(asked_of_all())) for engine in engines)
        assert theirs == ours
        assert theirs[0].text == LESSONS[0]["response"]
        assert len({theirs[0].text, theirs[1].text, theirs[2].text}) == 3, "the adapters change nothing"
        assert theirs[-2].calls == [{"name": "get_weather", "arguments": {"city": "Paris"}}]

    def test_streams_join_to_the_answer(self, engines: tuple[Engine, Engine]) -> None:
        """The answers come in pieces; a server on a busy machine may put some of them together."""
        said = [list(engines[0].stream(user(row["query"]))) for row in LESSONS[:4]]
        assert ["".join(pieces) for pieces in said] == [row["response"] for row in LESSONS[:4]]
        assert sum(map(len, said)) > len(said)

    def test_sampling_follows_its_seed(self, engines: tuple[Engine, Engine]) -> None:
        """The same seed draws the same answer, another one another, all in one batch."""
        asked = [user("Anything?", temperature=2.0, seed=seed) for seed in (1, 1, 2)]
        one, same, other = (reply.text for reply in engines[0].generate(asked))
        assert one == same != other

    def test_what_cannot_be_asked_is_refused_before_anything_is_said(self, engines: tuple[Engine, Engine]) -> None:
        """An unknown adapter, an empty prompt and one that is too long: a SwiftError, and no piece of the others."""
        heard: list[str] = []

        def listen(_: int, piece: str) -> bool:
            heard.append(piece)
            return True

        for bad in (user("hi", adapter="three"), Request.of(prompt=""), Request.of(prompt=[5] * 5000)):
            with pytest.raises(SwiftError, match=r"no adapter 'three'|is empty|the prompt has 5000 tokens"):
                engines[0].generate([user("Say hello."), bad], listen)
        assert not heard

    def test_behind_our_server(self, engines: tuple[Engine, Engine]) -> None:
        """A real client: names, `n` answers, and an error of OpenAI's form."""
        import openai
        from swift_plugin_serving.server import running_server

        with running_server(engines[0]) as url:
            client = openai.OpenAI(base_url=f"{url}/v1", api_key="EMPTY", max_retries=0)
            assert [m.id for m in client.models.list()] == engines[1].models
            asked: Any = [{"role": "user", "content": LESSONS[3]["query"]}]
            done = client.chat.completions.create(model=engines[1].models[0], n=2, messages=asked)
            assert [choice.message.content for choice in done.choices] == [LESSONS[3]["response"]] * 2
            long: Any = [{"role": "user", "content": "x " * 5000}]
            with pytest.raises(openai.BadRequestError, match="the prompt has"):
                client.chat.completions.create(model="one", messages=long)
