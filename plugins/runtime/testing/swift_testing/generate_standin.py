"""A stand-in for the servers of LMDeploy and SGLang: it speaks the endpoints that they document, and knows no model.

Its answer to a prompt is the prompt again, token by token, up to the first token that ends an answer: turned round for
an adapter, in an order that the seed decides where it draws. So tests see what was asked. It refuses [5, 13],
and the prompt [5, 14] ends it. `python -m swift_testing.generate_standin …` takes the place of an interpreter with one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Body = dict[str, Any]


def interpreter(folder: Path) -> str:
    """A file that is called as Python is, and starts the stand-in. Write `slow` into `folder` for slow answers."""
    file = folder / "python"
    words = shlex.join([sys.executable, "-m", "swift_testing.generate_standin"])
    file.write_text(f'#!/bin/sh\nexec env STANDIN={shlex.quote(str(folder))} {words} "$@"\n', encoding="utf-8")
    file.chmod(0o755)
    return str(file)


def arguments(words: list[str]) -> tuple[str, argparse.Namespace]:
    """Which server is meant, and what it is told, read from the words behind `python`."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    sglang = words[:2] == ["-m", "sglang.launch_server"]
    if not sglang:
        parser.add_argument("path")
    for name in ("--model-path",) if sglang else ():
        parser.add_argument(name, dest="path")
    parser.add_argument("--host", "--server-name", dest="host", required=True)
    parser.add_argument("--port", "--server-port", dest="port", type=int, required=True)
    parser.add_argument("--served-model-name", "--model-name", dest="name", required=True)
    parser.add_argument("--lora-paths", "--adapters", dest="adapters", nargs="*", default=[])
    parser.add_argument("--config")
    found, _ = parser.parse_known_args(words[2:] if sglang else words[4:])
    return ("sglang" if sglang else "lmdeploy"), found


class Server(ThreadingHTTPServer):
    """What the handlers know."""

    daemon_threads = True

    def __init__(self, kind: str, told: argparse.Namespace):
        from transformers import AutoTokenizer

        super().__init__((told.host, told.port), Handler)
        self.kind, self.tokenizer = kind, AutoTokenizer.from_pretrained(told.path)
        self.place = Path(os.environ["STANDIN"])
        key = told.config and json.loads(Path(told.config).read_text(encoding="utf-8").partition(":")[2])
        self.key = key or os.environ["LMDEPLOY_API_KEY"]
        self.models = [told.name, *(pair.partition("=")[0] for pair in told.adapters)]

    def note(self, line: Body) -> None:
        """What tests read: the bodies that came, and how answers ended."""
        with (self.place / "asked.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def log_message(self, *_: Any) -> None:
        """Nothing: the log is for the end."""

    def do_GET(self) -> None:
        """`/health`."""
        self._json(200, {"status": "healthy"})

    def do_POST(self) -> None:
        """`/generate` and `/v1/completions`, behind the key."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.note({"path": self.path, "body": body})
        if self.headers["Authorization"] != f"Bearer {self.server.key}":
            self._json(401, {"error": "Unauthorized"})
        elif body.get("input_ids") == [5, 13]:
            self._json(400, {"error": {"message": "thirteen brings bad luck"}})
        elif body.get("input_ids") == [5, 14]:
            print("torch.OutOfMemoryError: stand-in", flush=True)
            os._exit(3)
        else:
            self._answer(body)

    def _answer(self, body: Body) -> None:
        texts = self.path == "/v1/completions"
        ids = self.server.tokenizer(body["prompt"])["input_ids"] if texts else body["input_ids"]
        tokens, reason = drawn(body, list(ids), self.server.models[0], self.server.tokenizer)
        written = self._texts if texts else self._tokens
        if not body["stream"]:
            self._json(200, written(tokens, reason, len(ids), len(tokens)))
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            for place, token in enumerate(tokens):
                time.sleep(0.05 if (self.server.place / "slow").exists() else 0)
                self._event(written([token], None, len(ids), place + 1))
            self._event(written([], reason, len(ids), len(tokens)))
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            self.server.note({"left": True})

    def _event(self, found: Body) -> None:
        self.wfile.write(f"data: {json.dumps(found)}\n\n".encode())
        self.wfile.flush()

    def _tokens(self, tokens: list[int], reason: str | None, asked: int, count: int) -> Body:
        meta = {"finish_reason": {"type": reason} if reason else None, "prompt_tokens": asked}
        return {"text": "", "output_ids": tokens, "meta_info": {**meta, "completion_tokens": count}}

    def _texts(self, tokens: list[int], reason: str | None, asked: int, count: int) -> Body:
        text = self.server.tokenizer.decode(tokens)
        usage = {"prompt_tokens": asked, "completion_tokens": count, "total_tokens": asked + count} if reason else None
        return {"choices": [{"index": 0, "text": text, "finish_reason": reason}], "usage": usage}

    def _json(self, status: int, found: Body) -> None:
        text = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def drawn(body: Body, ids: list[int], model: str, tokenizer: Any) -> tuple[list[int], str]:
    """The tokens of an answer, the one that ended it included where a body asks for ids, and why it ended."""
    how = body.get("sampling_params", body)
    if body.get("lora_path") or body.get("model", model) != model:
        ids = ids[::-1]
    if how["temperature"] > 0 and how["top_k"] != 1:
        random.Random(how.get("seed", how.get("sampling_seed"))).shuffle(ids)
    limit = how.get("max_completion_tokens") or how.get("max_tokens") or how["max_new_tokens"]
    ends = {*how.get("stop_token_ids", []), *(t for word in how.get("stop", []) for t in tokenizer(word)["input_ids"])}
    end = next((place for place, token in enumerate(ids) if token in ends), None)
    if how.get("ignore_eos") or end is None or end >= limit:
        return (ids * (1 + limit // max(1, len(ids))))[:limit], "length"
    return ids[: end + ("prompt" not in body)], "stop"


if __name__ == "__main__":
    meant, told_words = arguments(sys.argv[1:])
    print(f"stand-in for {meant}: {told_words}", flush=True)
    Server(meant, told_words).serve_forever()
