"""Contracts of what comes after training: backends, evaluators, exporters, and commands."""

from __future__ import annotations

import functools
import math
import socket
from pathlib import Path
from typing import Any

import pytest

from swift_core.contract.engine import Engine, Request
from swift_core.contract.errors import SwiftError
from swift_core.evaluation.sets import eval_sets
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_testing.contracts import CHAT, ComponentContract, tiny_model, write_rows

QUESTIONS = ["What is in the picture?", "你好", "def add(a, b)?"]


def _ask(text: str, **changes: Any) -> Request:
    return Request.of([{"role": "user", "content": text}], **{"max_new_tokens": 8, **changes})


class BackendContract(ComponentContract):
    """An inference backend: answers in order, streams what it would have answered, obeys its limits."""

    kind = "backend"

    @classmethod
    @functools.cache
    def engine(cls) -> Engine:
        """The engine of a tiny model, started once for all checks."""
        job = cls().job("infer", model=tiny_model("qwen2"))
        return job.hook.start_engine(job=job)

    def test_answers_in_the_order_of_the_questions(self) -> None:
        """A batch gives what each question alone gives."""
        engine = self.engine()
        together = [r.text for r in engine.generate([_ask(q) for q in QUESTIONS])]
        alone = [engine.generate([_ask(q)])[0].text for q in QUESTIONS]
        assert together == alone, "Answers change with what else is in the batch, or their order does."

    def test_streams_what_it_would_answer(self) -> None:
        """The pieces join to the answer."""
        engine = self.engine()
        assert "".join(engine.stream(_ask(QUESTIONS[0]))) == engine.generate([_ask(QUESTIONS[0])])[0].text

    def test_stops_at_the_limit(self) -> None:
        """`max_new_tokens` bounds the answer, and the reply says so."""
        (reply,) = self.engine().generate([_ask(QUESTIONS[0], max_new_tokens=3)])
        assert reply.completion_tokens <= 3 and reply.prompt_tokens > 0
        assert reply.finish_reason in ("length", "stop"), f"finish_reason {reply.finish_reason!r} is unknown."

    def test_stops_at_a_stop_text(self) -> None:
        """A stop text ends the answer and is not part of it."""
        engine = self.engine()
        whole = engine.generate([_ask(QUESTIONS[0])])[0].text
        stop = whole[len(whole) // 2 :][:2]
        if stop:
            cut = engine.generate([_ask(QUESTIONS[0], stop=[stop])])[0].text
            assert cut == whole[: whole.index(stop)], f"Stopping at {stop!r} turned {whole!r} into {cut!r}."

    def test_draws_the_same_with_the_same_seed(self) -> None:
        """A seed makes a drawn answer repeatable."""
        engine, request = self.engine(), _ask(QUESTIONS[0], temperature=1.0, seed=7)
        assert engine.generate([request])[0].text == engine.generate([request])[0].text

    def test_says_which_models_it_serves(self) -> None:
        """The base model comes first."""
        assert self.engine().models, "models lists the names that the engine answers to, the base model first."


class ServerContract(ComponentContract):
    """A server: it takes its port before a model is loaded, and gives it back."""

    kind = "server"

    def test_refuses_a_port_that_is_taken(self) -> None:
        """A SwiftError before anything is loaded."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            job = self.job("deploy", port=taken.getsockname()[1])
            with pytest.raises(SwiftError):
                job.hook.open_server(job=job)

    def test_gives_its_port_back(self) -> None:
        """The end of the `with` block frees the port for the next server."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        job = self.job("deploy", port=port)
        for _ in range(2):
            with job.hook.open_server(job=job) as server:
                assert callable(server.serve), "open_server returns an object with serve(engine)."


class EvaluatorContract(ComponentContract):
    """An evaluator: a report of each data set, with finite metrics. Override `data` to write what it measures on."""

    kind = "evaluator"

    def data(self, folder: Path) -> list[str]:
        """Write a small data set into `folder`; return the words for --eval_dataset."""
        return [write_rows(folder, CHAT)]

    def test_reports_metrics(self, tmp_path: Path) -> None:
        """The report names the measurement, its numbers and how many rows it saw."""
        if self.generic:
            pytest.skip("needs a data set, which only the plugin's own test can make")
        options = {"eval_dataset": self.data(tmp_path), "output_dir": str(tmp_path / "out"), "max_new_tokens": 8}
        job = self.job("eval", model=tiny_model("qwen2"), **options)
        engine = job.hook.start_engine(job=job)
        (item,) = job.many("evaluator")
        sets = eval_sets(job)
        reports = list(job.call(item, "evaluate", engine=engine, sets=sets) or [])
        engine.close()
        assert len(reports) == len(sets), f"{len(reports)} reports of {len(sets)} data sets; there is one of each."
        for report in reports:
            lacking = {"name", "metrics", "rows", "file"} - set(report)
            assert not lacking, f"The report lacks {', '.join(sorted(lacking))}: {report}"
            assert report["rows"] > 0 and report["metrics"], f"The report measures nothing: {report}"
            for name, value in report["metrics"].items():
                assert math.isfinite(value), f"Metric {name} is {value}."


class ExporterContract(ComponentContract):
    """An exporter: it writes a folder, and does not write over one that is there."""

    kind = "exporter"
    of = "model"
    """What it turns into another format: a whole `model`, or an `adapter` on one."""

    def source(self, folder: Path) -> dict[str, Any]:
        """The options that say what is exported: a tiny model, or a checkpoint of one LoRA step on it."""
        if self.of == "model":
            return {"model": tiny_model("qwen2")}
        values = {"model": tiny_model("qwen2"), "dataset": [write_rows(folder, CHAT)], "max_steps": 1, "device": "cpu"}
        values["output_dir"] = str(folder / "trained")
        job = prepare("sft", [Given(k, v, "test") for k, v in values.items()])
        return {"ckpt_dir": job.run()["checkpoint"], "model": None}

    def test_writes_a_folder_once(self, tmp_path: Path) -> None:
        """The returned folder holds the export; a second run refuses to write over it."""
        source = self.source(tmp_path)
        target = str(tmp_path / "exported")
        job = self.job("export", output_dir=target, **source)
        folder = job.hook.export_model(job=job)
        assert folder and list(Path(folder).iterdir()), f"export_model returned {folder!r}, and nothing stands there."
        again = self.job("export", output_dir=target, **source)
        with pytest.raises(SwiftError, match=r"exist_ok"):
            again.hook.export_model(job=again)


class CommandContract(ComponentContract):
    """A command: a Typer application that becomes `swift NAME` and explains itself."""

    kind = "command"

    def test_shows_its_help(self) -> None:
        """`swift NAME --help` works and says something."""
        from typer.testing import CliRunner

        done = CliRunner().invoke(self.component, ["--help"])
        assert done.exit_code == 0, f"swift {self.name} --help ends with {done.exit_code}: {done.output}"
        assert "Usage" in done.output

    def test_says_what_it_is(self) -> None:
        """Its help text stands in `swift --help`."""
        from typer.main import get_command

        said = getattr(get_command(self.component), "help", "") or self.entry.summary
        assert said, f'Say what swift {self.name} does: typer.Typer(help="…").'
