"""An upload over HTTP to a server that speaks the part of the hub's interface which uploads use."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from modelscope_hub import get_default_config
from swift_plugin_runtime.loading import hub
from swift_testing.tiny import tiny_qwen2

from swift_core import SwiftError, run


class Hub(BaseHTTPRequestHandler):
    """Keeps what is asked and what is uploaded on its server."""

    def do_GET(self) -> None:
        self.answer({"id": "me/mine", "sha": "0" * 40, "siblings": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            body = self.chunks()
        self.server.asked.append((self.path, self.headers.get("Authorization"), body))
        if self.path.endswith("/api/repos/create"):
            self.answer({"url": f"{self.server.address}/me/mine"})
        elif self.server.refuses:
            self.answer({"error": "You may not write here."}, 403)
        elif "/preupload/" in self.path:
            wanted = [file["path"] for file in json.loads(body)["files"]]
            regular = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            self.answer({"files": [{"path": path, **regular} for path in wanted]})
        elif "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            kept = [line["value"] for line in lines if line["key"] == "file"]
            self.server.files |= {one["path"]: base64.b64decode(one["content"]) for one in kept}
            self.answer({"commitUrl": f"{self.server.address}/me/mine/commit/1", "commitOid": "1" * 40})
        else:
            self.answer({})

    def chunks(self) -> str:
        found = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found.decode()

    def answer(self, value: Any, status: int = 200) -> None:
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A hub on this machine, whose address the client is told."""
    found: Any = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    found.address = f"http://127.0.0.1:{found.server_address[1]}"
    found.asked, found.files, found.refuses = [], {}, False
    monkeypatch.setenv("HF_ENDPOINT", found.address)
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


@pytest.fixture
def folder(tmp_path: Any) -> str:
    """A checkpoint with the optimizer's state."""
    for name in ("adapter_config.json", "swift.lock.json", "optimizer.pt", "rng_state.pth"):
        (tmp_path / name).write_text(f"content of {name}")
    return str(tmp_path)


def test_a_checkpoint_arrives_without_the_optimizer(server: Any, folder: str) -> None:
    where = hub.upload(folder, "me/mine", use_hf=True, token="hf_secret", private=True)
    assert where == f"{server.address}/me/mine"
    assert server.files == {n: f"content of {n}".encode() for n in ("adapter_config.json", "swift.lock.json")}
    path, key, body = server.asked[0]
    assert path.endswith("/api/repos/create") and key == "Bearer hf_secret"
    assert json.loads(body)["visibility"] == "private" and json.loads(body)["name"] == "mine"


def test_a_refusal_is_told_without_the_token(server: Any, folder: str) -> None:
    server.refuses = True
    with pytest.raises(SwiftError, match=r"could not be uploaded to me/mine on Hugging Face: .*403") as caught:
        hub.upload(folder, "me/mine", use_hf=True, token="hf_secret", private=False)
    assert "hf_secret" not in str(caught.value) and not server.files


def test_modelscope_is_asked_for_a_private_repository(
    server: Any, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client's first request says so, with the token; the refusal ends the upload before a file is sent.

    A client that was used before in the process, at another address, changes nothing.
    """
    get_default_config()
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", server.address)
    server.refuses = True
    with pytest.raises(SwiftError, match=r"could not be uploaded to me/mine on ModelScope: .*write here") as caught:
        hub.upload(folder, "me/mine", use_hf=False, token="ms_secret", private=True)
    assert "ms_secret" not in str(caught.value)
    asked = [json.loads(body) for path, _, body in server.asked if path.endswith("/models")]
    assert asked[0]["Visibility"] == 1 and asked[0]["Name"] == "mine"


TO = {"push_to_hub": True, "hub_model_id": "me/mine", "use_hf": True, "hub_token": "hf_secret"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: Any) -> str:
    """A LoRA checkpoint."""
    place = tmp_path_factory.mktemp("trained")
    (place / "rows.jsonl").write_text(json.dumps({"query": "What is 2+3?", "response": "5"}) + "\n")
    model, rows = tiny_qwen2(place / "base"), str(place / "rows.jsonl")
    done = run("sft", model=model, dataset=[rows], output_dir=str(place / "run"), max_steps=1, device="cpu")
    return str(done["checkpoint"])


def test_an_export_uploads_what_it_wrote_last(server: Any, trained: str, tmp_path: Any, capfd: Any) -> None:
    """The merged model arrives, file by file; its lock and what is printed hold no token."""
    place = str(tmp_path / "merged")
    run("export", ckpt_dir=trained, merge_lora=True, output_dir=place, device="cpu", **TO)
    assert {"config.json", "model.safetensors", "tokenizer.json", "swift.lock.json"} <= server.files.keys()
    for name, content in server.files.items():
        assert (tmp_path / "merged" / name).read_bytes() == content
    said = "".join(capfd.readouterr())
    assert f"Uploading {place} to me/mine" in said and f"uploaded to: {server.address}/me/mine" in said
    assert "hf_secret" not in said and b"hf_secret" not in server.files["swift.lock.json"]


def test_an_export_of_nothing_uploads_the_checkpoint(server: Any, trained: str) -> None:
    run("export", ckpt_dir=trained, device="cpu", hub_private_repo=True, **TO)
    assert "adapter_model.safetensors" in server.files and "optimizer.pt" not in server.files
    _, key, body = server.asked[0]
    assert key == "Bearer hf_secret" and json.loads(body)["visibility"] == "private"


def test_an_upload_without_a_repository_or_a_permission(server: Any, trained: str, tmp_path: Any) -> None:
    """The missing name is said before anything is written; a refusal leaves the export whole, and says how to go on."""
    place = tmp_path / "merged"
    shared = {"ckpt_dir": trained, "merge_lora": True, "output_dir": str(place), "device": "cpu"}
    with pytest.raises(SwiftError, match="say --hub_model_id owner/name"):
        run("export", **shared, push_to_hub=True)
    assert not place.exists() and not server.asked
    server.refuses = True
    with pytest.raises(
        SwiftError, match=r"merged could not be uploaded to me/mine .*swift export --ckpt_dir"
    ) as caught:
        run("export", **shared, **TO)
    assert (place / "model.safetensors").is_file() and "hf_secret" not in str(caught.value)
    with pytest.raises(SwiftError, match="is no folder on this disk"):
        run("export", model=str(place / "none" / "owner/name"), model_type="qwen2", **TO)
