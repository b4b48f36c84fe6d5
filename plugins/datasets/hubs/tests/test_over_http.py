"""From a name to rows over HTTP: the real clients against a small hub on this machine."""

import hashlib
import http.server
import json
import threading
from urllib.parse import parse_qs, urlparse

import pytest

from swift_core.data.load import load_all
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

ROW = {"instruction": "Name a bird.", "input": "", "output": "A sparrow.", "text": "whole"}
FILES = {"README.md": b"---\nlicense: mit\n---\n", "train.jsonl": (json.dumps(ROW) + "\n").encode()}
COMMIT = "0" * 40


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers what the two clients ask for one repository with two files."""

    asked: list[str] = []

    def do_GET(self):
        self.asked.append(self.path)
        place = urlparse(self.path)
        name = parse_qs(place.query).get("FilePath", [place.path.rpartition("/")[2]])[0]
        if place.path.endswith("/repo/tree"):  # ModelScope's list
            self.reply_json({"Code": 200, "Success": True, "Data": {"Files": [self.listed(n) for n in FILES]}})
        elif "/tree/" in place.path:  # Hugging Face's list
            files = [{"type": "file", "path": n, "size": len(b), "oid": digest(b)} for n, b in FILES.items()]
            self.reply_json(files)
        elif name in FILES:
            self.reply(FILES[name])
        elif place.path.startswith("/api/datasets/"):
            siblings = [{"rfilename": n} for n in FILES]
            self.reply_json({"id": "vicgalle/alpaca-gpt4", "sha": COMMIT, "siblings": siblings, "tags": []})
        else:
            self.reply(b"{}", 404)

    do_HEAD = do_GET

    def do_POST(self):
        self.asked.append(self.path)
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        paths = parse_qs(body.decode()).get("paths") or json.loads(body or b"{}").get("paths", [])
        found = [
            {"type": "file", "path": n, "size": len(FILES[n]), "oid": digest(FILES[n])} for n in paths if n in FILES
        ]
        self.reply_json(found)

    def listed(self, name):
        body = FILES[name]
        return {
            "Path": name,
            "Name": name,
            "Type": "blob",
            "Size": len(body),
            "Sha256": digest(body),
            "Revision": COMMIT,
        }

    def reply_json(self, value):
        self.reply(json.dumps(value).encode(), kind="application/json")

    def reply(self, body, status=200, kind="application/octet-stream"):
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "ETag": f'"{digest(body)}"',
            "X-Repo-Commit": COMMIT,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


def digest(body):
    return hashlib.sha256(body).hexdigest()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on this machine, and empty caches."""
    import datasets
    import huggingface_hub.constants

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", address)
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "ms"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    form = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", form)
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", address)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    Hub.asked.clear()
    yield Hub.asked
    server.shutdown()


@pytest.mark.parametrize(
    ("word", "place"),
    [("alpaca-en#1", "AI-ModelScope/alpaca-gpt4-data-en"), ("HF::alpaca-en#1", "vicgalle/alpaca-gpt4")],
)
def test_a_name_becomes_rows(hub, word, place):
    given = {"dataset": [word], "template": "chatml", "loader": "", "tuner": []}
    job = prepare("sft", [Given(k, v, "test") for k, v in given.items()])
    (row,) = load_all(job, job.options.dataset)
    assert [m["content"] for m in row.messages] == ["Name a bird.", "A sparrow."]
    assert any(place in path for path in hub), hub
