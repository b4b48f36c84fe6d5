"""The chat at the terminal: commands over a pipe, and editing, history and Ctrl-C through a pseudo-terminal."""

from __future__ import annotations

import io
import os
import re
import select
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from swift_testing.serving import LESSONS, taught_qwen2
from swift_testing.tiny import tiny_qwen2

from swift_core import run
from swift_core.contract.engine import Reply
from swift_core.inference.chat import WELCOME, chat
from swift_core.inference.conversation import sampling
from swift_core.jobs.options import InferOptions

pty = pytest.importorskip("pty")

QUERIES = [row["query"] for row in LESSONS if "query" in row]
ANSWERS = [row["response"] for row in LESSONS if "query" in row]


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A tiny Qwen2 that knows LESSONS by heart."""
    return taught_qwen2(tmp_path_factory.mktemp("taught"))


class Listener:
    """An engine that answers `yes` and keeps the rows that it was asked with."""

    models = ["listener"]

    def __init__(self):
        self.rows = []

    def stream(self, request):
        self.rows.append(request.row)
        yield "yes"
        return Reply("yes", "stop", 1, 1)


def talk(monkeypatch, *lines):
    """What an engine was asked when these lines came."""
    engine = Listener()
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    chat(engine, None, sampling(InferOptions()))
    return engine.rows


def roles(row):
    return [m["role"] for m in row.messages]


def test_commands_over_a_pipe(monkeypatch, capsys, tmp_path):
    (tmp_path / "a.png").touch()
    lines = ["/system Be brief.", "one", f"/image {tmp_path / 'a.png'}", "what is it?", "/clear", "two", "/system", "3"]
    first, second, third, fourth = talk(monkeypatch, *lines)
    assert first.messages == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "one"}]
    assert second.messages[-1]["content"] == "<image>what is it?" and second.images == [str(tmp_path / "a.png")]
    assert roles(second) == ["system", "user", "assistant", "user"]
    assert roles(third) == ["system", "user"] and not third.images
    assert roles(fourth) == ["user", "assistant", "user"]
    assert capsys.readouterr().out.splitlines() == ["yes"] * 4


def test_what_is_no_command_is_told_or_asked(monkeypatch, capsys):
    (row,) = talk(monkeypatch, "/sistem x", "/image nowhere.png", "/etc/passwd is what?", "/help", "/exit", "never")
    assert row.messages[-1]["content"] == "/etc/passwd is what?" and not row.images
    shown = capsys.readouterr()
    assert "Did you mean '/system'?" in shown.err and "There is no file 'nowhere.png'" in shown.err
    assert all(name in shown.out for name in ("/system", "/clear", "/image", "/help"))


def test_the_end_where_a_picture_is_asked_for(monkeypatch):
    assert not talk(monkeypatch, "what is <image>?")


def test_the_taught_model_hears_the_system_text(taught, monkeypatch, capsys):
    lines = [QUERIES[3], "/system " + "x " * 5000, QUERIES[1], "/clear", "/system", QUERIES[1]]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    run("infer", ckpt_dir=taught)
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [ANSWERS[3], ANSWERS[1]]
    assert "chat: the prompt has" in shown.err


class Terminal:
    """A `swift` process at a pseudo-terminal. screen: what it wrote since `said` was last called."""

    def __init__(self, *words):
        self.outside, inside = pty.openpty()
        more = {"env": {**os.environ, "TERM": "vt100"}, "start_new_session": True}
        command = [sys.executable, "-c", STARTER, *words]
        self.process = subprocess.Popen(command, stdin=inside, stdout=inside, stderr=inside, **more)
        os.close(inside)
        self.screen = ""

    def said(self, pattern, seconds=120):
        """Wait until the screen shows `pattern`; returns what came up to its end."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.screen)):
            assert time.monotonic() < end, f"no {pattern!r} in {self.screen!r}"
            if select.select([self.outside], [], [], 0.2)[0]:
                self.screen += os.read(self.outside, 4096).decode(errors="replace")
        before, self.screen = self.screen[: found.end()], self.screen[found.end() :]
        return before

    def type(self, text):
        os.write(self.outside, text.encode())

    def interrupted(self, pattern):
        """Ctrl-C until `pattern` shows: readline sleeps through a signal that comes while it handles a key."""
        for _ in range(20):
            self.type("\x03")
            with suppress(AssertionError):
                return self.said(pattern, 5)
        return self.said(pattern, 5)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.outside)


STARTER = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # the terminal's Ctrl-C reaches us
sys.argv[0] = "swift"
from swift_core.cli import main
main()
"""

PROMPT = re.escape(">>> ")


@pytest.fixture
def terminal():
    opened = []

    def start(*words):
        opened.append(Terminal(*words))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def test_lines_are_edited_and_remembered(taught, terminal):
    readline = pytest.importorskip("readline")
    assert readline
    chat = terminal("infer", "--ckpt_dir", taught)
    chat.said(re.escape(WELCOME))
    chat.said(PROMPT)
    query, answer = QUERIES[3], re.escape(ANSWERS[3])
    chat.type(query[:-2] + query[-1] + "\x1b[D" + query[-2] + "\r")  # arrow left, and the letter that lacks
    assert "^[[" not in chat.said(answer)
    chat.said(PROMPT)
    chat.type("/clear\r")
    chat.said(PROMPT)
    chat.type("\x1b[A\x1b[A\r")  # arrow up, twice: the question before /clear
    assert "^[[" not in chat.said(answer)
    chat.said(PROMPT)
    chat.type("\x04")
    assert chat.process.wait(60) == 0


def test_ctrl_c_stops_the_answer_alone(tmp_path, terminal):
    chat = terminal("infer", "--model", tiny_qwen2(tmp_path), "--device", "cpu", "--max_new_tokens", "100000")
    chat.said(PROMPT)
    chat.type("half a line")
    chat.said("half a line")  # echoed: the line editor listens, and a Ctrl-C cannot come before it does
    chat.interrupted(PROMPT)
    for _ in range(2):
        chat.type("go on\r")
        chat.said(r"go on\s*\r\n")
        chat.said(r"\S")  # an answer that has begun
        chat.type("\x03")
        chat.said(re.escape("[stopped]"), 30)
        chat.said(PROMPT)
    chat.type("exit\r")
    assert chat.process.wait(60) == 0
