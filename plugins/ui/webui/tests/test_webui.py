"""The page over real HTTP: forms made from options, a job run to its end, one stopped, mistakes answered."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.ui import WebDriverWait
from swift_testing.tiny import tiny_qwen2


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("webui")


@pytest.fixture(scope="module")
def page(place):
    """A client of a running `swift app`."""
    command = [sys.executable, "-u", "-m", "swift_core", "app", "--port", "0", "--folder", str(place / "runs")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    url = re.search(r"http://\S+", process.stdout.readline())[0]
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) in (0, -signal.SIGTERM)


def finished(page, name):
    for _ in range(600):
        found = page.get(f"/api/runs/{name}").json()
        if found["state"] != "running":
            return found
        time.sleep(0.2)
    raise AssertionError("the job did not end")


def test_forms_come_from_the_options(page):
    assert "<title>swift</title>" in page.get("/").text
    assert {"sft", "rlhf", "deploy"} <= {job["name"] for job in page.get("/api/jobs").json()}
    job, lora = page.get("/api/form/sft", params={"chosen": "tuner:lora"}).json()
    fields = {f["name"]: f for f in job["fields"]}
    assert {"lora", "full"} <= set(fields["tuner"]["choices"]) and fields["tuner"]["default"] == "lora"
    assert "lora_rank" in {f["name"] for f in lora["fields"]}
    assert any(c["name"] == "lora" for c in page.get("/api/components").json())


def test_a_job_runs_and_shows_its_curves(page, place):
    model = tiny_qwen2(place / "model")
    rows = place / "my rows.jsonl"
    rows.write_text("".join(json.dumps({"query": "q", "response": f"r {n}"}) + "\n" for n in range(8)))
    options = {"model": model, "dataset": f"'{rows}'", "num_train_epochs": "1", "logging_steps": "1"}
    started = page.post("/api/runs", json={"job": "sft", "options": options}).json()
    assert started["command"].startswith("swift sft --model")
    found = finished(page, started["name"])
    assert found["state"] == "done", found["log"]
    assert len(found["series"]["loss"]) == 8 and "checkpoint" in found["log"]


def test_a_mistake_is_shown_and_a_job_can_be_stopped(page):
    refused = page.post("/api/runs", json={"job": "nonsense", "options": {}})
    assert refused.status_code == 400 and "no job 'nonsense'" in refused.json()["error"]
    started = page.post("/api/runs", json={"job": "sft", "options": {"model": "./nothing"}}).json()
    found = finished(page, started["name"])
    assert found["state"] == "ended with exit code 2" and "neither a local folder" in found["log"]
    running = page.post("/api/runs", json={"job": "sft", "options": {"model": "./nothing"}}).json()["name"]
    page.post(f"/api/runs/{running}/stop")
    assert finished(page, running)["state"].startswith("ended with exit code")


def test_foreign_pages_start_nothing(page):
    plain = page.post("/api/runs", content='{"job": "sft", "options": {}}', headers={"content-type": "text/plain"})
    assert plain.status_code == 400 and "application/json" in plain.json()["error"]
    assert page.get("/", headers={"host": "elsewhere.example"}).status_code == 400


@pytest.fixture
def browser():
    """A headless Chromium; the test is skipped where none is installed."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip("no chromium with its driver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    opened.implicitly_wait(180)
    yield opened
    opened.quit()


def test_a_person_trains_in_a_browser(page, place, browser):
    """Fill the form in, choose another tuner, run, see the curve; the log of the browser holds no error."""
    find = browser.find_element
    rows = place / "chat.jsonl"
    rows.write_text("".join(json.dumps({"query": "q", "response": f"r {n}"}) + "\n" for n in range(8)))

    def fill(name, value):
        find("css selector", f"[data-name={name}]").send_keys(Keys.CONTROL + "a" + Keys.NULL, value)

    browser.get(str(page.base_url))
    lora = find("css selector", "[data-name=lora_rank]")
    fill("tuner", "full\t")
    WebDriverWait(browser, 60).until(staleness_of(lora))
    for name, value in {"model": tiny_qwen2(place / "seen"), "dataset": str(rows), "num_train_epochs": "1"}.items():
        fill(name, value)
    find("css selector", "details summary").click()
    fill("logging_steps", "1")
    find("id", "run").click()
    assert find("css selector", "[data-metric=loss] polyline").get_attribute("points")
    assert "--tuner full" in find("id", "command").text
    assert finished(page, find("id", "state").text.split(":")[0])["state"] == "done"
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
