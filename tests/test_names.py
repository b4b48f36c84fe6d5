"""Models by name: ids that no card lists, names of other tools, and what to install where a family is missing."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from swift_plugin_runtime.loading.loader import Transformers

from swift_core import SwiftError
from swift_core.catalogue.entries import Catalogue
from swift_core.cli.app import application
from swift_core.job.family_lookup import find_family
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

CATALOGUE = Catalogue.installed()
SMOLLM2 = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 49152}


class Hub(BaseHTTPRequestHandler):
    """Hugging Face with one file: HuggingFaceTB/SmolLM2-135M-Instruct/config.json."""

    def do_HEAD(self):
        self.answer(b"")

    def do_GET(self):
        self.answer(json.dumps(SMOLLM2).encode())

    def answer(self, body):
        there = self.path == "/HuggingFaceTB/SmolLM2-135M-Instruct/resolve/main/config.json"
        self.send_response(200 if there else 404)
        for name, value in {"ETag": '"abc"', "X-Repo-Commit": "0" * 40}.items():
            self.send_header(name, value)
        if not there:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", str(len(json.dumps(SMOLLM2))))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    from huggingface_hub import constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield
    server.shutdown()
    server.server_close()


def on_hugging_face(model):
    return Transformers.fetch_config(model, None, use_hf=True)


def family(model, model_type=None, fetch=None):
    return find_family(CATALOGUE, model, model_type, fetch)


def test_an_id_that_no_card_lists_is_known_by_its_config(hub):
    found = family("HuggingFaceTB/SmolLM2-135M-Instruct", fetch=on_hugging_face)
    assert found.entry.name == "llama" and found.why == "config.json on the hub"


def test_an_id_that_the_hub_does_not_have_says_what_to_do(hub):
    with pytest.raises(
        SwiftError, match=r"'no/such'.*config.json could not be fetched from Hugging Face.*--use_hf false"
    ):
        family("no/such", fetch=on_hugging_face)


def test_what_is_no_id_asks_no_hub(hub):
    with pytest.raises(SwiftError, match="neither a local folder nor a checkpoint"):
        family("./no folder", fetch=on_hugging_face)


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("qwen2-7b-instruct", "Qwen/Qwen2-7B-Instruct"),
        ("qwen2_5-0_5b-instruct", "Qwen/Qwen2.5-0.5B-Instruct"),
        ("qwen2-vl-7b-instruct", "Qwen/Qwen2-VL-7B-Instruct"),
        ("llama3_1-8b-instruct", "LLM-Research/Meta-Llama-3.1-8B-Instruct"),
        ("internlm2-7b", "Shanghai_AI_Laboratory/internlm2-7b"),
    ],
)
def test_a_model_type_of_ms_swift_2_means_a_checkpoint(word, wanted):
    job = prepare("infer", [Given("model_type", word, "test")])
    assert job.options.model == wanted
    assert job.options.model_type == family(wanted).entry.name


@pytest.mark.parametrize(
    ("word", "name", "template"), [("llama3_2", "llama", "llama3_2"), ("qwen2_5", "qwen2", "qwen2_5")]
)
def test_a_model_type_of_later_releases_means_a_family_and_its_template(word, name, template, tmp_path):
    found = family(str(tmp_path), word)
    assert (found.entry.name, found.template) == (name, template)


def test_a_word_that_may_mean_several_checkpoints_names_them():
    with pytest.raises(SwiftError, match=r"--model_type 8b-instruct may mean any of .*Say which: --model ID"):
        family("x", "8b-instruct")


def test_a_base_install_names_what_to_install(tmp_path):
    bare = Catalogue([])
    with pytest.raises(
        SwiftError, match=r"Qwen/Qwen2-VL-2B-Instruct' is not installed.*pip install swift-plugin-qwen2vl"
    ):
        find_family(bare, "Qwen/Qwen2-VL-2B-Instruct", fetch=on_hugging_face)
    (tmp_path / "config.json").write_text(json.dumps(SMOLLM2), encoding="utf-8")
    with pytest.raises(SwiftError, match=r"LlamaForCausalLM.*pip install swift-plugin-llama"):
        find_family(bare, str(tmp_path))


def test_a_command_of_a_plugin_that_is_missing_names_it(monkeypatch):
    monkeypatch.setattr(Catalogue, "installed", lambda: Catalogue([]))
    with pytest.raises(SwiftError, match=r"'demo' is not installed. It ships in swift-plugin-demo: pip install"):
        application("demo")
