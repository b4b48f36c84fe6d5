"""Attempts to get in, and out: foreign names and pages, strangers, paths. Over real HTTP where it matters."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from swift_plugin_serving.server import address, bind
from swift_plugin_webui.jobs.store import Store
from swift_plugin_webui.page.site import site
from swift_plugin_webui.safety.gate import COOKIE, Gate, Rules, check, host_name
from swift_plugin_webui.safety.paths import Places, paths_in

from swift_core import SwiftError

TOKEN = "a-token-that-is-long"
HERE = "http://127.0.0.1:7860"


def asked(rules, method="GET", path="/", **headers):
    """The status of a request to a server that would start something."""
    started = []

    async def act(request):
        started.append(request.method)
        return PlainTextResponse("done")

    app = Gate(Starlette(routes=[Route("/{any:path}", act, methods=["GET", "POST"])]), rules)
    client = TestClient(app, base_url=HERE, follow_redirects=False)
    answer = client.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    assert bool(started) == (answer.status_code == 200)
    return answer


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "[::1]:7860", "LOCALHOST"])
def test_it_answers_to_its_own_names(host):
    assert asked(Rules(), host=host).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "evil.example:7860", "10.0.0.5", "", "a@127.0.0.1", "127.0.0.1/x"],
)
def test_other_names_of_this_machine_are_refused(host):
    """DNS rebinding: a page's own name that points here."""
    assert asked(Rules(), host=host).status_code == 400
    assert asked(Rules(), "POST", host=host).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://127.0.0.1:7860.evil.example"},
        {"origin": ""},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site", "sec_fetch_mode": "navigate"},
        {"origin": "http://evil.example", "sec_fetch_mode": "navigate"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/gradio_api/queue/join", "/gradio_api/upload", "/gradio_api/run/predict"])
def test_foreign_pages_change_nothing(headers, path):
    assert asked(Rules(), "POST", path, **headers).status_code == 403


def test_the_pages_own_requests_and_links_to_it_come_through():
    assert asked(Rules(), "POST", origin=HERE, sec_fetch_site="same-origin").status_code == 200
    assert asked(Rules(), "GET", sec_fetch_site="cross-site", sec_fetch_mode="navigate").status_code == 200
    assert asked(Rules(), "GET", sec_fetch_site="cross-site", sec_fetch_mode="no-cors").status_code == 403


@pytest.mark.parametrize("dest", ["iframe", "frame", "embed", "object"])
def test_a_foreign_page_does_not_show_it_in_a_frame(dest):
    """By what browsers send, and for older ones by headers."""
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    answer = asked(Rules(), "GET", **link, sec_fetch_dest="document")
    assert answer.status_code == 200 and answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert answer.headers["content-security-policy"] == "frame-ancestors 'self'"
    assert asked(Rules(), "GET", **link, sec_fetch_dest=dest).status_code == 403
    assert asked(Rules(), "GET", sec_fetch_site="same-origin", sec_fetch_dest=dest).status_code == 200


def test_routes_that_the_page_has_no_use_for_are_closed():
    for path in ("/", "/zh/", "/zh", "/config", "/gradio_api/queue/join", "/zh/gradio_api/file=/x", "/download/a/b/c"):
        assert asked(Rules(), path=path).status_code == 200, path
    for path in (
        "/gradio_api/proxy=http://10.0.0.1/", "/gradio_api/file=http://evil.example/", "/gradio_api/vibe-edit",
        "/gradio_api/process_recording", "/gradio_api/component_server", "/monitoring", "/gradio_api/run/predict",
        "/gradio_api/runs", "/gradio_api/dev/reload", "/login", "/docs", "/gradio_api/mcp",
    ):  # fmt: skip
        assert asked(Rules(), "POST", path).status_code == 404, path


@contextlib.contextmanager
def real_site(folder):
    """The address of the whole site, served in a thread."""
    listening = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(site(Store(folder, Places([folder])), Rules()), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield address(listening)
    server.should_exit = True
    thread.join(30)


def event_of(config, name, event):
    """The number of the function behind an event of the element of a name, and how many values it takes."""
    element = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == name)
    found = next(d for d in config["dependencies"] if [element, event] in [list(t) for t in d["targets"]])
    return found["id"], len(found["inputs"])


def called(client, name, event, *values):
    """What the server sends for an event, as text."""
    number, count = event_of(client.get("/config").json(), name, event)
    data = [*values, *[None] * (count - len(values))]
    asks = {"fn_index": number, "data": data, "session_hash": f"{name}{event}"}
    assert client.post("/gradio_api/queue/join", json=asks).status_code == 200
    with client.stream("GET", f"/gradio_api/queue/data?session_hash={name}{event}") as lines:
        return next(line for line in lines.iter_lines() if "process_completed" in line)


def test_a_path_of_the_host_is_no_upload(tmp_path, monkeypatch):
    """Whoever writes requests by hand names files that were never uploaded: pictures, job files, data, addresses."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    for name in ("secret.png", "secret.yaml"):
        (tmp_path / name).write_text("system: s3cr3t")
    with real_site(tmp_path / "jobs") as url, httpx.Client(base_url=url, timeout=60) as client:
        for path in (str(tmp_path / "secret.png"), f"{url}/config#secret.png", "/proc/self/environ"):
            file = {"path": path, "meta": {"_type": "gradio.FileData"}}
            history = [{"role": "user", "content": [{"type": "file", "file": file}]}]
            for said in (
                called(client, "chat-entry", "submit", {"text": "", "files": [file]}, [], [], False),
                called(client, "chat-entry", "submit", {"text": "", "files": []}, history, [], False),
            ):
                assert "was not uploaded" in said or "failed validation" in said, (path, said)
        for name in ("train-upload", "train-load"):
            file = {"path": str(tmp_path / "secret.yaml"), "meta": {"_type": "gradio.FileData"}}
            said = called(client, name, "upload", file)
            assert "was not uploaded" in said and "s3cr3t" not in said
    assert not list(tmp_path.glob("cache/**/secret*")) and not (tmp_path / "jobs" / "uploads").exists()


def test_strangers_stay_outside():
    rules = Rules(False, (), "ann:pass:word", TOKEN)
    for headers in ({}, {"authorization": "Bearer x"}, {"authorization": "Basic !"}, {"cookie": f"{COOKIE}=x"}):
        assert asked(rules, **headers).status_code == 401
        assert asked(rules, "POST", **headers).status_code == 401
    assert asked(rules, path="/?token=wrong").status_code == 401
    assert asked(rules, "POST", path=f"/?token={TOKEN}").status_code == 401
    assert asked(rules, authorization="Basic YW5uOnBhc3M6d29yZA==").status_code == 200
    assert asked(rules, cookie=f"{COOKIE}={TOKEN}").status_code == 200
    assert asked(rules, authorization=f"Bearer {TOKEN}").status_code == 200


def test_the_token_goes_into_a_cookie_and_out_of_the_address():
    answer = asked(Rules(True, (), "", TOKEN), path=f"/zh/?token={TOKEN}&__theme=dark")
    assert answer.status_code == 303 and answer.headers["location"] == "/zh/?__theme=dark"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert asked(Rules(True, (), "", TOKEN), path=f"//evil.example/?token={TOKEN}").headers["location"][:2] != "//"


def test_a_server_that_others_reach_needs_a_lock():
    check(Rules(), "127.0.0.1")
    with pytest.raises(SwiftError, match="--auth USER:PASSWORD or --token"):
        check(Rules(False), "0.0.0.0")
    with pytest.raises(SwiftError, match="colon"):
        check(Rules(False, login="ann"), "0.0.0.0")
    with pytest.raises(SwiftError, match="16 characters"):
        check(Rules(False, token="short"), "0.0.0.0")
    assert asked(Rules(False, ("gpu.example",), login="a:b"), host="gpu.example").status_code == 401
    assert asked(Rules(False, (), login="a:b"), host="evil.example").status_code == 400


def test_the_command_itself_refuses_an_open_door():
    command = [sys.executable, "-m", "swift_core", "app", "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "say --auth USER:PASSWORD" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["a b", "[::1", "x:y:z", "\u00e4"])
def test_broken_names_are_none(host):
    assert host_name(host) in ("", "a b", "\u00e4", "x")


@pytest.fixture
def places(tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.jsonl").write_text("{}")
    os.symlink(tmp_path / "outside", tmp_path / "inside" / "link")
    return Places([tmp_path / "inside"])


def test_paths_that_lead_out_are_refused(places, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "inside")
    bad = [
        "/etc/passwd",
        "~/.ssh/id_rsa",
        "../outside/secret.jsonl",
        "a/../../outside/secret.jsonl#5",
        "name=../outside",
        "local::/etc/passwd",
        "link/secret.jsonl",
        str(tmp_path / "outside"),
        str(tmp_path / "inside" / "link" / "secret.jsonl"),
        str(tmp_path / "inside-not"),
    ]
    for word in bad:
        for values in ({"dataset": [word]}, {"model": word}, {"training_args": {"output_dir": word}}, {"x": {word: 1}}):
            with pytest.raises(SwiftError, match="outside the folders"):
                places.check_values(values)
    (tmp_path / "inside" / "rows.jsonl").write_text("{}")
    fine = [
        "rows.jsonl",
        "rows.jsonl#500",
        "Qwen/Qwen3-8B",
        "new/folder",
        "hf::owner/name:a/b#5",
        "name=out",
        "a\n/etc",
    ]
    places.check_values({"dataset": fine, "model": str(tmp_path / "inside" / "m"), "system": "Say: yes/no. Really?"})


def test_a_link_that_comes_later_is_seen(places, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "inside")
    assert paths_in("late.jsonl") == []
    os.symlink("/etc/hostname", "late.jsonl")
    with pytest.raises(SwiftError, match="outside"):
        places.check_values({"dataset": ["late.jsonl"]})
