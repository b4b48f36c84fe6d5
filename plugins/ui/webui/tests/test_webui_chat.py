"""The chat in a real Chromium, with real servers whose engines are a few lines: `make test-webui`."""

from __future__ import annotations

import os
import sys
import wave
from pathlib import Path

import pytest
from PIL import Image
from selenium.webdriver.common.keys import Keys
from serving_engines import Echo
from swift_plugin_serving.server import running_server

from swift_core.contract.engine import Reply

sys.path.insert(0, str(Path(__file__).parent))
from webui_person import Person, started

PICTURES = os.environ.get("SWIFT_TEST_WEBUI", "")
pytestmark = pytest.mark.skipif(not PICTURES, reason="make test-webui")

TOOLS = '[{"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}]'
CALLS = [{"name": "weather", "arguments": {"city": "巴黎"}}, {"name": "weather", "arguments": {"city": "Bern"}}]


class Several(Echo):
    """Echo with two adapters that calls tools when it is asked about the weather, and keeps what it was asked."""

    def __init__(self):
        super().__init__()
        self.models, self.asked = ["base", "kind", "terse"], []

    def _say(self, place, request, listen):
        self.asked.append(request)
        said = request.row.messages[-1]
        if said["role"] == "user" and said["content"] == "weather?":
            return Reply("I look.", "tool_calls", 1, 2, calls=CALLS, content="I look.")
        if said["role"] == "tool":
            text = f"It is {said['content']} there."
            if listen:
                listen(place, text)
            return Reply(text, "stop", 1, 4)
        return super()._say(place, request, listen)


@pytest.fixture(scope="module")
def engine():
    return Several()


@pytest.fixture(scope="module")
def person(engine, tmp_path_factory):
    """Somebody in the Chat tab, whose server A is the engine's."""
    folder = tmp_path_factory.mktemp("chat")
    with started(folder, "jobs") as (page, _), running_server(engine) as url:
        one = Person(page)
        one.open()
        one.tab("Chat")
        one.pick("chat-server-a", url)
        one.until(lambda: one.text("chat-model-a") == "terse", "the last adapter", 30)
        yield one
        one.browser.quit()


@pytest.fixture(autouse=True)
def anew(person):
    """An empty conversation, and no notices behind it."""
    person.press("chat-clear")
    person.until(lambda: not turns(person), "an empty conversation", 30)
    yield
    person.browser.execute_script("document.querySelectorAll('.toast-close').forEach(e => e.click())")


def idle(person):
    """Wait until no answer is on its way."""
    person.until(lambda: not person.find("#chat-stop").is_enabled(), "the end of the answer", 60)


def say(person, text):
    idle(person)
    box = person.find("#chat-entry textarea")
    box.send_keys(text, Keys.ENTER)


def turns(person, side="a"):
    """(who, what) of each message; of what is folded its title alone."""
    shown = person.all(f"#chat-{side} [data-testid=user], #chat-{side} [data-testid=bot]")
    return [(m.get_attribute("data-testid"), m.text.strip()) for m in shown]


def answered(person, *texts, side="a"):
    """Wait until the conversation is this: what is said, in turn."""
    idle(person)
    person.until(lambda: [text for _, text in turns(person, side)] == [*texts], f"{texts} in {side}", 40)


def test_an_answer_is_asked_again_edited_and_taken_back(person, engine):
    say(person, "one")
    answered(person, "one", "one")
    say(person, "two")
    answered(person, "one", "one", "two", "two")
    count = len(engine.asked)
    person.labelled("#chat-a", "Retry")[-1].click()
    person.until(lambda: len(engine.asked) == count + 1, "a second answer", 30)
    answered(person, "one", "one", "two", "two")
    assert [m["content"].strip() for m in engine.asked[-1].row.messages] == ["one", "one", "two"]
    person.labelled("#chat-a", "Edit")[0].click()
    box = person.find("#chat-a textarea")
    box.send_keys(Keys.CONTROL + "a", Keys.DELETE)
    box.send_keys('three "3"')
    person.labelled("#chat-a", "Submit")[-1].click()
    answered(person, 'three "3"', 'three "3"')
    assert [m["content"] for m in engine.asked[-1].row.messages] == ['three "3"']
    person.labelled("#chat-a", "Undo")[-1].click()
    person.until(lambda: not turns(person), "an empty conversation", 30)


def test_a_tool_is_called_and_its_result_goes_back(person, engine):
    """Two calls at once: the page asks for each result in turn, and then for the answer."""
    person.open_part("Settings")
    person.code("chat-tools", TOOLS)
    say(person, "weather?")
    person.sees("chat-result-a", "", 30)
    person.until(lambda: "Tool call: weather" in person.find("#chat-a").text, "the calls", 30)
    assert engine.asked[-1].row.tools[0]["function"]["name"] == "weather"
    for result in ('{"sky": "晴 & \\"clear\\""}', "rain"):
        person.type("chat-result-a", result)
        person.press("chat-give-a")
        person.until(lambda: person.text("chat-result-a") == "", "an empty box", 30)
    person.until(lambda: any("It is rain there." in text for _, text in turns(person)), "the answer", 30)
    assert not person.all("#chat-give-a") or not person.all("#chat-give-a")[0].is_displayed()
    sent = engine.asked[-1].row.messages
    assert [m["role"] for m in sent] == ["user", "assistant", "tool", "tool"]
    assert [m["content"] for m in sent[2:]] == ['{"sky": "晴 & \\"clear\\""}', "rain"]
    assert [call["arguments"] for call in sent[1]["tool_calls"]] == [call["arguments"] for call in CALLS]
    assert "Tool result: weather" in person.find("#chat-a").text
    person.code("chat-tools", "")


def test_thoughts_are_folded(person):
    say(person, "<think>Hm, hard.</think>Easy.")
    person.until(lambda: turns(person)[-1][0] == "bot" and turns(person)[-1][1].endswith("Easy."), "the answer", 30)
    page = person.find("#chat-a").text
    assert "Thinking" in page and page.count("Hm, hard.") == 1, "the user's own words, and no thoughts beside them"
    assert turns(person)[-1][1].endswith("Easy.") and "<think>" not in turns(person)[-1][1]


def test_an_answer_is_stopped(person, engine):
    say(person, "slow 2000")
    person.until(lambda: any(who == "bot" and "more more" in text for who, text in turns(person)), "words", 30)
    box = person.find("#chat-entry textarea")
    box.send_keys("too early", Keys.ENTER)
    person.until(lambda: "Wait for the answer" in person.notice(), "a notice", 30)
    assert "too early" not in person.find("#chat-a").text and box.get_attribute("value") == "too early"
    box.send_keys(Keys.CONTROL + "a", Keys.DELETE)
    person.press("chat-stop")
    person.until(lambda: engine.running == 0, "the server to stop", 30)
    assert turns(person)[-1][1].count("more") < 2000
    say(person, "on")
    person.until(lambda: turns(person)[-1] == ("bot", "on"), "the next answer", 30)


def test_an_adapter_is_chosen_by_name_and_two_answer_side_by_side(person, engine):
    person.pick("chat-model-a", "kind")
    person.find("#chat-both input").click()
    person.find("#chat-server-b")
    person.pick("chat-server-b", person.text("chat-server-a").split()[-1])
    person.until(lambda: person.text("chat-model-b") == "terse", "its models", 30)
    person.pick("chat-model-b", "base")
    say(person, "both")
    for side in "ab":
        answered(person, "both", "both", side=side)
    assert {request.adapter for request in engine.asked[-2:]} == {"kind", None}
    person.find("#chat-both input").click()


def test_a_picture_a_sound_and_a_video_arrive(person, engine, tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    with wave.open(str(tmp_path / "beep.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\0\1" * 800)
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    files = [str(tmp_path / name) for name in ("red.png", "beep.wav", "clip.mp4")]
    person.all("#chat-entry input[type=file]")[0].send_keys("\n".join(files))
    person.until(lambda: len(person.all("#chat-entry button[aria-label^='Remove']")) == 3, "three files", 30)
    say(person, "What is it?")
    person.until(lambda: turns(person) and turns(person)[-1][0] == "bot", "an answer", 30)
    idle(person)
    media = engine.asked[-1].row.media
    assert {sort: len(items) for sort, items in media.items() if items} == {"image": 1, "audio": 1, "video": 1}


def test_what_is_wrong_is_said(person):
    say(person, "bad")
    person.until(lambda: "that is bad" in person.notice(), "a notice", 30)
    person.open_part("Settings")
    person.code("chat-tools", "[{broken")
    say(person, "again")
    person.until(lambda: "not valid JSON" in person.notice(), "a notice", 30)
    person.code("chat-tools", "")
    person.pick("chat-server-a", "http://example.com:80")
    person.until(lambda: "no server on this machine" in person.notice(), "a notice", 30)
