"""Whole paths in a real Chromium, with real jobs: `make test-webui`. Pictures of the page go to `SWIFT_TEST_WEBUI`."""

from __future__ import annotations

import functools
import json
import os
import re
import sys
import tarfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
import pytest
from selenium.webdriver.common.keys import Keys

sys.path.insert(0, str(Path(__file__).parent))
from webui_person import Person, started

PICTURES = os.environ.get("SWIFT_TEST_WEBUI", "")
pytestmark = pytest.mark.skipif(not PICTURES, reason="make test-webui")

SYSTEM = 'Be "brief", don\'t {"chat": true}.\n请用中文回答 $HOME `ls`'


@pytest.fixture(scope="module")
def site(place):
    """The address of a running `swift app`, its process and how long it took to answer."""
    begun = time.monotonic()
    with started(place, "jobs", "--upload-mb", "8") as (url, process):
        yield url, process, time.monotonic() - begun


def ends(person, state, seconds=240):
    """Wait until the job that is shown is in a state."""
    return person.sees("runs-head", f": {state}", seconds)


def say(person, text):
    """Say something in the chat."""
    box = person.find("#chat-entry textarea")
    box.send_keys(text)
    box.send_keys(Keys.ENTER)


def train(person, **more):
    person.tab("Train")
    person.find("#train-model")
    person.pick("train-model", "base model")
    person.pick("train-dataset", "data/words-train.jsonl", clear=True)
    for name, value in more.items():
        person.type("train-search", f"{name}\n")
        person.type(f"train-{name}", value)
    person.type("train-search", "\n")
    person.find("#train-tuner")
    person.press("train-run")
    person.sees("runs-head", "sft-")


def test_start_up_and_memory(site, person):
    """Printed: how long until the page answers and is painted, and what the server holds."""
    _, process, answers = site
    begun = time.monotonic()
    person.open()
    painted = time.monotonic() - begun
    held = psutil.Process(process.pid).memory_info().rss / 2**20
    print(f"\nanswers after {answers:.1f} s, first field painted {painted:.1f} s later, server holds {held:.0f} MiB")
    foreign = person.browser.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith(arguments[0]))",
        person.url,
    )
    assert [name for name in foreign if name.startswith("http")] == []
    assert held < 600


def test_train_with_a_hard_value_reload_stop_and_resume(person, place):
    """The value arrives as typed; a reload finds the run; a stop saves; a resume ends it."""
    train(person, max_steps="160", logging_steps="5", template="chatml", learning_rate="2e-3", system=SYSTEM)
    ends(person, "running")
    name = person.job()
    person.until(lambda: "training:" in person.text("runs-log"), "a bar", 120)
    person.open()
    person.tab("Runs")
    ends(person, "running")
    assert person.job() == name
    person.find("#runs-plots polyline", 60)
    person.press("runs-stop")
    ends(person, "stopped")
    record = json.loads((place / "jobs" / name / "job.json").read_text())
    assert record["values"]["system"] == SYSTEM and SYSTEM in record["words"]
    assert list((place / "jobs" / name / "output").glob("checkpoint-*"))
    person.press("runs-resume")
    ends(person, "done")
    lock = next((place / "jobs" / name / "output").glob("checkpoint-160/swift.lock.json"))
    assert json.loads(lock.read_text())["options"]["system"] == SYSTEM
    assert person.text("runs-log").count("training:") <= 6, "bars are one line"


def test_settings_are_there_again(person):
    """After the reload of the last test and another one: what ran last is filled in, changed fields are marked."""
    person.open()
    person.sees("train-command", "base model")
    assert "● model" in person.find("#train-model").text
    person.type("train-search", "system\n")
    assert person.find("#train-system textarea").get_attribute("value") == SYSTEM


def test_plan_and_refusals_before_a_run(person):
    person.open()
    person.sees("train-command", "base model")
    person.press("train-check")
    said = person.sees("train-said", "GiB", 120)
    assert "Nothing is refused" in said and "parameters" in said
    person.pick("train-model", "no such model")
    person.press("train-check")
    assert "neither a local folder" in person.sees("train-faults", "no such model", 60)
    person.pick("train-model", "/etc")
    person.press("train-run")
    assert "outside the folders" in person.sees("train-faults", "/etc")


def test_two_runs_compared(person):
    person.open()
    train(person, max_steps="60", logging_steps="5", template="chatml", learning_rate="1e-3")
    ends(person, "done")
    names = [re.search(r"sft-\d+-\d+", row.text) for row in person.all("#runs-table [role=row]")]
    other = next(name[0] for name in names if name and name[0] != person.job())
    person.pick("runs-beside", other)
    person.until(lambda: len(person.all("#runs-plots figure:first-child polyline")) == 2, "two curves in one panel", 30)
    assert other in person.find("#runs-plots figcaption").text


def test_what_a_job_wrote_is_downloaded(person, tmp_path):
    """The links are pressed: the log, the curves, the newest checkpoint as an archive; one file of the folder."""
    person.downloads_to(tmp_path)
    name = person.job()
    person.until(lambda: len(person.all("#runs-files a")) > 3, "links", 30)
    for link in person.all("#runs-files a"):
        if link.text.strip() in ("log.txt", "logging.jsonl", "checkpoint.tar"):
            link.click()
    archive = tmp_path / f"{name}-checkpoint-60.tar"
    person.until(lambda: {"log.txt", "logging.jsonl", archive.name} <= {*os.listdir(tmp_path)}, "three files", 60)
    with tarfile.open(archive) as tar:
        assert "checkpoint-60/adapter_model.safetensors" in tar.getnames()
    curves = [json.loads(line) for line in (tmp_path / "logging.jsonl").read_text().splitlines()]
    assert any("loss" in line for line in curves)
    person.open_part("Files")
    next(a for a in person.all("#runs-folder a") if a.text.strip() == "checkpoint-60/swift.lock.json").click()
    person.until(lambda: "swift.lock.json" in os.listdir(tmp_path), "a file of the folder", 30)


def test_a_failed_job_says_why_on_top(person):
    person.open()
    person.pick("train-model", "base model")
    person.pick("train-dataset", "broken.jsonl", clear=True)
    person.press("train-run")
    ends(person, "failed")
    assert "broken.jsonl:2" in person.text("runs-error")


def test_chat_with_the_trained_checkpoint(person):
    """Loaded from the page; streamed; asked again after an edit; another system text; adapter by name."""
    person.open()
    person.tab("Chat")
    person.find("#chat-entry")
    person.all("#chat-path")
    next(b for b in person.all("button") if b.text.startswith("Load a model")).click()
    box = person.find("#chat-path input")
    box.click()
    first = person.until(
        lambda: next(o for o in person.all("[role=option]") if "checkpoint-160" in o.text), "checkpoints"
    )
    first.click()
    person.press("chat-load")
    person.sees("chat-server-a", "http://127.0.0.1", 120)
    person.until(lambda: person.text("chat-model-a"), "a model", 30)
    say(person, "Write 415 in words.")
    answer = person.until(
        lambda: [m.text for m in person.all("#chat-a .bot.message") if m.text.strip()], "an answer", 60
    )
    assert answer
    models = httpx.get(person.text("chat-server-a").split()[-1] + "/v1/models").json()["data"]
    assert person.text("chat-model-a") == models[-1]["id"] and len(models) == 2, "the adapter, by its name"


def test_chat_with_a_picture(person, place):
    """A model that sees, deployed in the Deploy tab; two chats side by side."""
    person.tab("Deploy")
    person.pick("deploy-model", "seeing model")
    person.type("deploy-port", "0")
    person.press("deploy-run")
    person.sees("runs-head", "127.0.0.1", 120)
    url = re.search(r"http://[\d.:]+", person.text("runs-head"))[0]
    person.tab("Chat")
    person.pick("chat-server-a", url)
    person.until(lambda: "seeing" in person.text("chat-model-a"), "its model", 30)
    person.press("chat-clear")
    upload = person.all("#chat-entry input[type=file]")[0]
    upload.send_keys(str(place / "red.png"))
    say(person, "What is in the picture?")
    person.until(lambda: person.all("#chat-a .user img"), "the picture", 30)
    person.until(lambda: [m for m in person.all("#chat-a .bot.message") if m.text.strip()], "an answer", 90)


def test_evaluate(person, place):
    person.open()
    person.tab("Evaluate")
    person.pick("evaluate-model", "base model")
    person.pick("evaluate-eval_dataset", "numbers_val.csv")
    person.press("evaluate-run")
    ends(person, "done")
    person.until(lambda: "json" in person.text("runs-files"), "a report", 30)


def test_export(person, place):
    person.open()
    person.tab("Export")
    checkpoint = str(next((place / "jobs").glob("*/output/checkpoint-160")))
    person.pick("export-ckpt_dir", checkpoint)
    person.pick("export-exporter", "merge-lora")
    person.type("export-output_dir", "merged model")
    person.press("export-run")
    ends(person, "done")
    assert list((place / "merged model").rglob("*.safetensors"))


def test_sample(person, place):
    person.open()
    person.tab("Sample")
    person.pick("sample-model", "base model")
    person.pick("sample-dataset", "data/words-test.jsonl#2")
    person.pick("sample-reward", "format")
    person.type("sample-search", "max_new_tokens\n")
    person.type("sample-max_new_tokens", "4")
    person.press("sample-run")
    ends(person, "done")
    assert "answers to 2 rows" in person.text("runs-log")


def test_a_recipe_begins_a_job_and_runs_with_what_is_changed(person, place):
    """Found by memory; the form is filled, the command shown, what differs named; it runs on the demo model."""
    person.open()
    person.pick("train-memory", "24 GiB")
    person.until(lambda: "batch_size 2" in person.text("train-command"), "values for the memory", 30)
    time.sleep(1)
    person.find("#train-recipe input").click()
    offered = [o.text for o in person.until(lambda: person.all("#train-recipe [role=option], .options [role=option]"))]
    assert any("llama31-8b-qlora" in text for text in offered) and not any("48 GB" in text for text in offered)
    person.pick("train-recipe", "llama31-8b-dpo-qlora")
    assert "--quantizer bnb" in person.sees("train-command", "swift rlhf", 30)
    assert "one GPU of 24 GB (swift plan:" in person.text("train-about")
    assert "Changed" not in person.text("train-about")
    person.until(lambda: "● quantizer" in person.find("#train-quantizer").text, "a mark", 30)
    person.pick("train-memory", "80 GiB")
    person.until(lambda: "--per_device_train_batch_size" in person.text("train-about"), "what is changed of it", 30)
    person.pick("train-recipe", "qwen3-8b-lora")
    person.sees("train-command", "Qwen/Qwen3-8B", 30)
    assert "quantizer" not in person.text("train-command") and "rlhf" not in person.text("train-command")
    person.until(lambda: person.text("train-quantizer") == "", "no quantizer of the recipe before", 30)
    person.pick("train-model", "base model")
    person.pick("train-dataset", "data/words-train.jsonl#20", clear=True)
    person.sees("train-about", "Changed from the recipe: --model, --dataset", 30)
    person.press("train-check")
    assert "80.00 GiB are there" in person.sees("train-said", "--memory_gib 80", 120)
    person.press("train-run")
    person.sees("runs-head", "sft-", 60)
    ends(person, "done")
    record = json.loads((place / "jobs" / person.job() / "job.json").read_text())
    assert record["values"]["lora_rank"] == 16 and record["values"]["loss_scale"] == "ignore_empty_think"


def test_recipes_of_other_tabs_say_what_only_their_user_knows(person):
    person.open()
    person.tab("Export")
    person.pick("export-recipe", "export-ollama")
    assert "You say: --ckpt_dir" in person.sees("export-about", "Modelfile", 30)
    assert "exporter" in person.text("export-command")
    person.tab("Deploy")
    person.pick("deploy-recipe", "serve-qwen3-8b")
    person.sees("deploy-command", "swift deploy", 30)


def test_data_as_rows_and_as_trained(person):
    person.tab("Data")
    person.pick("data-dataset", "data/words-train.jsonl")
    person.press("data-show")
    assert "words-train.jsonl:1" in person.sees("data-rows", "Write", 60)
    person.pick("data-model", "base model")
    person.press("data-show")
    marks = person.until(lambda: [m.text for m in person.all("#data-rows mark")], "trained text", 90)
    assert any("hundred" in text for text in marks) and not any("Write" in text for text in marks)
    person.find("#data-lengths canvas, #data-lengths svg", 30)
    person.pick("data-model", "")
    person.pick("data-dataset", "broken.jsonl")
    person.press("data-show")
    person.sees("data-said", "broken.jsonl:2", 60)


def test_data_of_other_kinds_and_wrong_words(person, place):
    """Pairs as DPO learns from them, pictures, CSV; no such file, no such set, no rows; the example of a card."""
    pair = {"query": "你好?", "response": "你好!", "rejected_response": "不。"}
    (place / "pairs.jsonl").write_text(json.dumps(pair, ensure_ascii=False) + "\n")
    seen = {"query": "<image>Colour?", "response": "red", "images": ["red.png"]}
    (place / "seen.jsonl").write_text(json.dumps(seen) + "\n" + json.dumps({**seen, "images": ["gone.png"]}) + "\n")
    (place / "empty.jsonl").write_text("")
    (place / "table.csv").write_text('query,response\n"one, two",3\n')
    person.open()
    person.tab("Data")

    def shows(dataset, field, part, **picked):
        person.pick("data-dataset", dataset)
        for name, value in picked.items():
            person.pick(f"data-{name}", value)
        person.press("data-show")
        return person.sees(f"data-{field}", part, 90)

    shows("table.csv", "rows", "one, two")
    shows("pairs.jsonl", "rows", "rejected")
    shows("pairs.jsonl", "rows", "<|im_start|>", model="base model", method="dpo")
    assert [m.text for m in person.all("#data-rows .swift-worse mark")] == ["不。<|im_end|>"]
    shows("seen.jsonl", "said", "gone.png", model="seeing model", method="sft")
    person.find("#data-rows img")
    assert "not found" in person.text("data-rows") and "<|image_pad|>" in person.text("data-rows")
    for name, said in (("gone.jsonl", "does not exist"), ("alpca-en", "alpaca-en"), ("empty.jsonl", "no rows")):
        shows(name, "error", said)
        assert person.text("data-rows") == ""
    person.find("#data-examples input").click()
    shows("alpaca-en", "rows", "example of alpaca-en", model="")


def test_models(person):
    person.tab("Models")
    person.type("models-search", "qwen2-vl-2b")
    cell = person.until(
        lambda: next(c for c in person.all("#models-table [role=gridcell]") if "Qwen2-VL-2B-Instruct" in c.text),
        "the model",
        30,
    )
    cell.click()
    facts = person.sees("models-facts", "qwen2_vl", 30)
    assert "image" in facts and "checkpoints" in facts


def test_a_job_file_is_loaded_and_a_third_partys_options_are_searched(person, place):
    person.open()
    file = place / "job.yaml"
    file.write_text("# swift rlhf\ntrainer: dpo\nmodel: base model\nlearning_rate: 5.0e-6\nsystem: '一 \"b\" '\n")
    person.give("train-load", file)
    person.sees("train-command", "swift rlhf")
    assert "learning_rate: 5.0e-06" in person.text("train-yaml") and '一 "b" ' in person.text("train-yaml")
    person.type("train-search", "beta\n")
    person.find("#train-beta", 30)


def test_deleting_asks_first(person, place):
    """Refused in the question, nothing happens; agreed to, the folder is gone."""
    person.open()
    person.tab("Export")
    person.pick("export-model", "nothing here")
    person.press("export-run")
    ends(person, "failed")
    name = person.job()
    for agree in (False, True):
        person.press("runs-delete")
        question = person.until(lambda: person.browser.switch_to.alert, "a question")
        question.accept() if agree else question.dismiss()
        time.sleep(2)
        assert (place / "jobs" / name).exists() is not agree
    person.until(lambda: person.job() != name, "another job")


def test_chinese_dark_and_phone(site, place):
    """The page in Chinese at phone width: nothing is wider than the screen; dark is dark."""
    one = Person(site[0], phone=True)
    try:
        one.open("zh/")
        assert "训练" in one.browser.find_element("tag name", "body").text
        wide = one.browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= 390
        one.picture(Path(PICTURES, "phone.png"))
        next(b for b in one.all("button") if b.text == "深色 / 浅色").click()
        assert "dark" in one.browser.execute_script("return document.body.className")
        one.picture(Path(PICTURES, "phone-dark.png"))
    finally:
        one.browser.quit()


FOREIGN = """<form method="post" action="{0}/gradio_api/queue/join"></form><iframe src="{0}/"></iframe><script>
const answers = [];
const ask = (path, method) => fetch("{0}" + path, {{method, body: method == "POST" ? "{{}}" : undefined}}).then(
  answer => answers.push(answer.status), () => answers.push("refused"));
Promise.all([ask("/gradio_api/queue/join", "POST"), ask("/gradio_api/upload", "POST"), ask("/config", "GET")]).then(
  () => document.title = answers.join());
</script>"""
"""A page that asks, sends a form, and shows the page in a frame, to lead people to press what they do not see."""


def test_a_foreign_page_in_the_same_browser_reaches_nothing(site, person, place, tmp_path):
    before = {*os.listdir(place / "jobs")}
    (tmp_path / "index.html").write_text(FOREIGN.format(site[0]))
    handler = functools.partial(SimpleHTTPRequestHandler, directory=tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for name in ("127.0.0.1", "localhost"):  # another port of this host, and another site
            person.browser.get(f"http://{name}:{server.server_port}/")
            person.until(lambda: person.browser.title == "refused,refused,refused", "no answer that can be read", 30)
            person.browser.switch_to.frame(person.all("iframe")[0])
            assert "Train" not in person.browser.find_element("tag name", "body").text
            person.browser.switch_to.default_content()
            person.browser.execute_script("document.forms[0].submit()")
            person.until(lambda: "are refused" in person.browser.find_element("tag name", "body").text, "a refusal", 30)
    finally:
        server.shutdown()
    assert {*os.listdir(place / "jobs")} == before
    person.open()


def test_attempts_on_the_real_server(site, place):
    """Paths that lead out, foreign pages, large uploads: on the server with Gradio behind the gate."""
    url = site[0]
    for path in (
        "/gradio_api/file=/etc/passwd",
        f"/gradio_api/file={place}/data/words-train.jsonl",
        "/file=/etc/passwd",
    ):
        assert httpx.get(url + path).status_code in (403, 404), path
    for path in ("/download/../../etc/passwd", "/download/sft-20260101-000000/log.txt", "/download/%2e%2e/job.json"):
        assert httpx.get(url + path).status_code == 404, path
    files = {"files": ("x.jsonl", b"{}")}
    body = {"data": [], "fn_index": 0, "session_hash": "x"}
    for origin in ("http://evil.example", "null"):
        assert httpx.post(f"{url}/gradio_api/upload", files=files, headers={"origin": origin}).status_code == 403
        assert httpx.post(f"{url}/gradio_api/queue/join", json=body, headers={"origin": origin}).status_code == 403
    assert httpx.get(url, headers={"host": "evil.example"}).status_code == 400
    large = {"files": ("large.jsonl", b"x" * (9 * 2**20))}
    assert httpx.post(f"{url}/gradio_api/upload", files=large, timeout=120).status_code == 413
    config = httpx.get(f"{url}/config").text
    assert os.environ.get("PATH", "?") not in config and "HOME=" not in config
