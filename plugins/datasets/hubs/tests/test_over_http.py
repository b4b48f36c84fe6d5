"""From a name to rows over HTTP: the real clients against a small hub on this machine."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from urllib.parse import parse_qs, urlparse

import pytest

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
def address():
    """Where a hub on this machine listens."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_name_becomes_rows(address, tmp_path):
    """In a process of its own, since both clients read their addresses once."""
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    env |= {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
    env |= {"MODELSCOPE_ENDPOINT": address, "MODELSCOPE_CACHE": str(tmp_path / "ms")}
    words = ["show", "data", "alpaca-en#1", "HF::alpaca-en"]
    done = subprocess.run([sys.executable, "-m", "swift_core", *words], env=env, capture_output=True, text=True)
    assert done.stdout.count("user: Name a bird.\nassistant: «A sparrow.»") == 2, done.stderr
    for place in ("AI-ModelScope/alpaca-gpt4-data-en", "vicgalle/alpaca-gpt4"):
        assert any(place in path for path in Hub.asked), Hub.asked
