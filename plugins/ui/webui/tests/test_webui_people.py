"""People at the page as they are: with a keyboard alone, clumsy, impatient, several at once. `make test-webui`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from importlib import util
from pathlib import Path

import psutil
import pytest
from selenium.webdriver.common.keys import Keys
from swift_plugin_webui.page.texts import CHINESE

sys.path.insert(0, str(Path(__file__).parent))
from webui_person import TABS, Person, started

PICTURES = os.environ.get("SWIFT_TEST_WEBUI", "")
pytestmark = pytest.mark.skipif(not PICTURES, reason="make test-webui")

SMI = "#!/bin/sh\necho '0, NVIDIA H100 80GB HBM3, 81559 MiB'\necho '1, NVIDIA H100 80GB HBM3, 81559 MiB'\n"
"""What NVIDIA's program says on a machine with two of its GPUs."""


@pytest.fixture(scope="module")
def site(place):
    """The address and the process of a running `swift app`."""
    with started(place, "people") as (url, process):
        yield url, process


def trains(person, steps, **more):
    """Start a training of so many steps; its name."""
    person.open()
    fills_in(person, steps, **more)
    return another_job(person)


def fills_in(person, steps, **more):
    """Fill the form of a training of so many steps."""
    person.pick("train-model", "base model")
    person.pick("train-dataset", "data/words-train.jsonl", clear=True)
    for name, value in {"max_steps": steps, "template": "chatml", **more}.items():
        person.type("train-search", f"{name}\n")
        person.type(f"train-{name}", str(value))


def another_job(person):
    """Run what is filled in; the name of the job, when it is shown in the place of the one before."""
    before = person.job()
    person.press("train-run")
    person.until(lambda: person.job().startswith("sft-") and person.job() != before, "another job", 60)
    return person.job()


def test_with_the_keyboard_alone(person, place):
    """Tab to a field, fill it, search an option, run the job, stop it; after each choice one is where one was."""
    person.open()
    person.tab_to("#train-reset")
    person.keys(Keys.ENTER)
    person.until(lambda: person.text("train-command") == "swift sft", "an empty form", 30)
    time.sleep(2)  # it is drawn anew
    for field, value in (("model", "base model"), ("dataset", "data/words-train.jsonl")):
        person.tab_to(f"#train-{field} input")
        person.keys(value, Keys.ENTER)
        person.until(lambda value=value: value in person.text("train-command"), value, 30)
    person.tab_to("#train-tuner input")
    person.keys("dora", Keys.ENTER)
    person.until(lambda: "dora" in person.text("train-command"), "dora", 30)
    time.sleep(2)
    assert person.focus("#train-tuner"), "the form was drawn anew, and one is still at the same field"
    for name, value in (("max_steps", "2000"), ("template", "chatml")):
        person.tab_to("#train-search textarea, #train-search input", back=True)
        person.keys(name, Keys.ENTER, everything=True)
        person.find(f"#train-{name}", 30)
        person.tab_to(f"#train-{name} input, #train-{name} textarea")
        person.keys(value, Keys.TAB, everything=True)
        person.until(lambda value=value: value in person.text("train-command"), value, 30)
    person.tab_to("#train-run")
    person.keys(Keys.ENTER)
    person.sees("runs-head", ": running", 120)
    person.until(lambda: "training:" in person.text("runs-log"), "a bar", 120)
    person.tab_to("#runs-stop")
    person.keys(Keys.SPACE)
    person.sees("runs-head", ": stopped", 120)
    assert list((place / "people" / person.job() / "output").glob("checkpoint-*"))
    print(f"\n{person.pressed} keys were pressed")


def unfolds(one, tab):
    """Show what a tab has beyond its first fields: a launcher's options, settings, rows, a model's facts."""
    if tab == "Train":
        switch = one.find("#train-spread input")
        if not switch.is_selected():
            switch.click()
        one.pick("train-launcher", "torchrun")
        one.find("#train-nproc_per_node", 60)
    elif tab == "Chat":
        one.open_part("Settings")
        one.find("#chat-both input").click()
        one.find("#chat-server-b")
    elif tab == "Data":
        one.pick("data-dataset", "data/words-train.jsonl")
        one.press("data-show")
        one.sees("data-rows", "Write", 90)
    elif tab == "Models":
        one.type("models-search", "qwen2-vl-2b")
        cells = "#models-table [role=gridcell]"
        one.until(lambda: next(c for c in one.all(cells) if "Qwen2-VL-2B-Instruct" in c.text), "the model", 30).click()
        one.sees("models-facts", "qwen2_vl", 30)


def test_no_serious_fault_of_accessibility(site, person):
    """axe-core on every tab, light and dark, in English and in Chinese, on a wide screen and on a phone's.

    In English with what is folded at first.
    """
    spec = util.find_spec("axe_core_python")
    if spec is None:
        pytest.skip("axe-core is not installed")
    script = Path(spec.origin).with_name("axe.min.js").read_text(encoding="utf-8")
    phone = Person(site[0], phone=True)
    found: dict[str, set[str]] = {}
    looks = [(person, path, dark) for path in ("", "zh/") for dark in (False, True)] + [(phone, "", False)]
    try:
        for one, path, dark in looks:
            one.open(path)
            if dark:
                one.browser.execute_script("document.body.classList.add('dark')")
            one.browser.execute_script(script)
            for tab in TABS:
                one.tab(CHINESE[tab] if path else tab)
                if not path:
                    unfolds(one, tab)
                time.sleep(1.0)
                told = one.browser.execute_async_script("axe.run().then(arguments[0])")
                where = f"{'phone ' if one is phone else ''}/{path} {'dark' if dark else 'light'} {tab}"
                for fault in told["violations"]:
                    if fault["impact"] in ("serious", "critical"):
                        for node in fault["nodes"]:
                            found.setdefault(f"{fault['id']}: {node['html'][:120]}", set()).add(where)
    finally:
        phone.browser.quit()
    assert not found, json.dumps({name: sorted(places) for name, places in found.items()}, indent=1)


def test_options_in_chinese(person):
    """What options say of themselves, and a search for Chinese words."""
    person.open("zh/")
    person.until(lambda: "本地文件夹" in person.find("#train-model").text, "help of --model in Chinese", 30)
    person.type("train-search", "学习率\n")
    person.find("#train-learning_rate", 30)
    person.type("train-search", "\n")


def test_strange_values_are_refused_and_run_nothing(person, place):
    before = {*(place / "people").iterdir()}
    person.open()
    person.pick("train-model", "base model")
    person.type("train-search", "max_steps\n")
    for value in ("many", "1.5", "９９x", "-", "1e999", "<script>document.title='x'</script>"):
        person.type("train-max_steps", value)
        assert "--max_steps" in person.sees("train-faults", value[:20], 30)
        assert "swift sft" not in person.text("train-command")
    person.press("train-run")
    person.rest()
    person.sees("train-faults", "--max_steps")
    assert person.browser.title != "x" and {*(place / "people").iterdir()} == before
    person.type("train-max_steps", "3")
    person.until(lambda: "max_steps 3" in person.text("train-command"), "the command", 30)
    person.type("train-search", "columns\n")
    person.code("train-columns", "{broken")
    assert "not valid JSON" in person.sees("train-faults", "--columns", 30)


def test_what_is_typed_while_the_form_is_drawn_anew_is_kept(person):
    """On a slow line, at several moments after a choice that brings other fields; but Reset forgets what was typed."""
    person.open()
    person.empty()
    person.slow(0.7)
    try:
        for number, (wait, tuner) in enumerate(((0.8, "dora"), (1.4, "ia3"), (2.0, "full"))):
            person.pick("train-tuner", tuner)
            time.sleep(wait)
            text = f"0.00{number}77"
            person.type("train-learning_rate", text)
            person.sees("train-command", f"learning_rate {text}", 30)
            time.sleep(3)
            assert person.text("train-learning_rate") == text
        person.type("train-learning_rate", "0.5")
        person.empty()
        time.sleep(3)
        assert person.text("train-learning_rate") == "" and person.text("train-command") == "swift sft"
    finally:
        person.slow(0)
    assert not [line for line in person.errors() if "status of 500" in line]


def test_a_search_and_the_devices_go_together(person):
    """What is found stands above the fields that share a step; the section of the devices is found by its words."""
    person.open()
    person.empty()
    person.type("train-search", "gpus\n")
    person.find("#train-waits", 30)
    person.find("#train-deepspeed", 30)
    person.type("train-search", "learning rate\n")
    person.find("#train-learning_rate", 30)
    person.find("#train-deepspeed", 30)
    assert not [e for e in person.all("#train-tuner") if e.is_displayed()]
    person.find("#train-spread input").click()
    person.type("train-search", "deepspeed\n")
    person.find("#train-deepspeed", 30)
    person.type("train-search", "\n")
    person.find("#train-tuner", 30)


def test_options_go_with_the_component_that_took_them(person):
    """Else a job would be refused for a value whose field is no longer there."""
    person.open()
    person.empty()
    person.pick("train-model", "base model")
    person.type("train-search", "lora_rank\n")
    person.type("train-lora_rank", "4")
    person.until(lambda: "lora_rank 4" in person.text("train-command"), "the option", 30)
    person.type("train-search", "\n")
    person.find("#train-tuner .remove-all").click()
    person.until(lambda: "lora_rank" in person.notice(), "what was left out", 30)
    person.pick("train-tuner", "full")
    person.until(lambda: "lora_rank" not in person.text("train-command"), "its end", 30)


def test_a_job_that_dies_says_how(person, place):
    """Killed from outside, as the system does when memory runs out; and with the process that watches over it."""
    for whole in (False, True):
        name = trains(person, 4000)
        person.sees("runs-head", ": running", 120)
        folder = place / "people" / name
        person.until(lambda folder=folder: (folder / "process.json").exists(), "its process", 60)
        for file in ("keeper.json", "process.json") if whole else ("process.json",):
            os.kill(json.loads((folder / file).read_text())["pid"], signal.SIGKILL)
        person.sees("runs-head", ": lost" if whole else ": failed", 60)
        said = person.text("runs-error")
        assert ("Nobody saw how it ended" if whole else "signal 9") in said
        person.press("runs-resume")
        person.sees("runs-head", ": running", 60)
        person.press("runs-stop")
        person.sees("runs-head", ": stopped", 120)


def test_folders_that_go_away_meanwhile(person, place):
    """The output, the folder of a running job, and that of all jobs: the page goes on, and a new job starts."""
    name = trains(person, 4000)
    person.sees("runs-head", ": running", 120)
    process = psutil.Process(json.loads((place / "people" / name / "process.json").read_text())["pid"])
    shutil.rmtree(place / "people" / name / "output", ignore_errors=True)
    time.sleep(3)
    person.sees("runs-head", name)
    shutil.rmtree(place / "people")
    person.until(lambda: "No job yet" in person.text("runs-head"), "an empty list", 30)
    os.killpg(process.pid, signal.SIGKILL)
    name = trains(person, 2)
    person.sees("runs-head", ": done", 240)
    assert (place / "people" / name / "output").is_dir()


def test_a_queue(person, place):
    """The second job waits for the first, says so, and begins when the first has ended."""
    first = trains(person, 4000)
    person.sees("runs-head", ": running", 120)
    person.tab("Train")
    person.find("#train-spread input").click()
    person.find("#train-waits input").click()
    person.type("train-search", "max_steps\n")
    person.type("train-max_steps", "2")
    person.press("train-run")
    person.until(lambda: person.job() not in ("", first), "another job", 60)
    second = person.job()
    assert f"waits for {first}" in person.sees("runs-head", ": queued", 60)
    person.pick("runs-picked", first)
    person.sees("runs-head", first)
    person.press("runs-stop")
    person.sees("runs-head", ": stopped", 120)
    person.pick("runs-picked", second)
    person.sees("runs-head", f"{second}: done", 240)


def test_two_people_at_once(site, person):
    """What one fills in the other does not see; what one runs and stops, both see."""
    other = Person(site[0])
    try:
        other.open()
        other.empty()
        other.pick("train-model", "not here")
        name = trains(person, 4000, system="of the first")
        assert "of the first" not in other.text("train-command") and "not here" in other.text("train-command")
        other.tab("Runs")
        other.pick("runs-picked", name)
        other.sees("runs-head", f"{name}: running", 120)
        other.press("runs-stop")
        other.sees("runs-head", f"{name}: stopped", 120)
        person.sees("runs-head", f"{name}: stopped", 60)
        other.press("runs-delete")
        other.until(lambda: other.browser.switch_to.alert, "a question").accept()
        person.until(lambda: person.job() != name, "another job", 60)
    finally:
        other.browser.quit()


def test_two_processes_by_a_launcher(person, place):
    """Chosen with the devices; the launcher's own fields appear beside it."""
    person.open()
    person.empty()
    fills_in(person, 2)
    person.find("#train-spread input").click()
    person.pick("train-launcher", "torchrun")
    person.find("#train-nproc_per_node", 60)
    person.type("train-nproc_per_node", "2")
    person.until(lambda: "nproc_per_node 2" in person.text("train-command"), "the option", 30)
    name = another_job(person)
    person.sees("runs-head", ": done", 400)
    record = json.loads((place / "people" / name / "job.json").read_text())
    assert record["values"]["launcher"] == "torchrun" and record["values"]["nproc_per_node"] == 2
    assert "2 processes" in person.text("runs-log") or "world" in person.text("runs-log")


def test_the_server_is_killed_in_the_middle_of_a_run(place):
    """The job goes on; another server on the same folder and port finds it; it is stopped from there."""
    with started(place, "killed") as (url, process):
        one = Person(url)
        try:
            name = trains(one, 4000)
            one.sees("runs-head", ": running", 120)
            process.kill()
            process.wait(30)
            with started(place, "killed", port=url.rpartition(":")[2]):
                one.open()
                one.tab("Runs")
                one.sees("runs-head", f"{name}: running", 60)
                one.press("runs-stop")
                one.sees("runs-head", f"{name}: stopped", 120)
                assert list((place / "killed" / name / "output").glob("checkpoint-*"))
        finally:
            one.browser.quit()


def test_gpus_are_chosen_and_jobs_wait_for_theirs(place, tmp_path):
    """Two GPUs, as NVIDIA's program would list them: one on each runs, a third job waits."""
    program = tmp_path / "nvidia-smi"
    program.write_text(SMI)
    program.chmod(0o755)
    with started(place, "gpus", path=tmp_path) as (url, _):
        one = Person(url)
        try:
            names = []
            for gpu, state in ((0, "running"), (1, "running"), (0, "queued")):
                one.open()
                one.find("#train-spread input").click()
                one.find("#train-gpus")
                boxes = one.all("#train-gpus input")
                assert len(boxes) == 2 and "H100" in one.find("#train-gpus").text
                boxes[gpu].click()
                one.until(lambda gpu=gpu: f"CUDA_VISIBLE_DEVICES={gpu} swift" in one.text("train-command"), "GPU", 30)
                names.append(trains_here(one))
                one.sees("runs-head", f"{names[-1]}: {state}", 120)
            assert f"waits for {names[0]}" in one.text("runs-head")
            for gpu, name in enumerate(names[:2]):
                pid = json.loads((place / "gpus" / name / "process.json").read_text())["pid"]
                assert psutil.Process(pid).environ()["CUDA_VISIBLE_DEVICES"] == str(gpu)
            one.picture(Path(PICTURES, "gpus.png"))
        finally:
            one.browser.quit()


def trains_here(person):
    """Run what is filled in, as a training that lasts; its name."""
    person.pick("train-model", "base model")
    person.pick("train-dataset", "data/words-train.jsonl", clear=True)
    person.type("train-search", "max_steps\n")
    person.type("train-max_steps", "4000")
    return another_job(person)
