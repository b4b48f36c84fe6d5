"""A folder that people work in and somebody with a browser, for all tests in one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder to work in: the demo's rows, its untrained model, a tiny model that sees, a picture, a bad file."""
    from PIL import Image
    from swift_plugin_demo.built import SIZE, copy_rows
    from swift_testing.tiny import tiny_qwen2, tiny_qwen2_vl

    folder = tmp_path_factory.mktemp("web ui")
    data = copy_rows(folder)
    texts = [text for file in data.glob("*.jsonl") for line in file.open() for text in json.loads(line).values()]
    tiny_qwen2(folder / "base model", [*texts, "system user assistant"], **SIZE)
    tiny_qwen2_vl(folder / "seeing model")
    Image.new("RGB", (64, 48), "red").save(folder / "red.png")
    (folder / "broken.jsonl").write_text('{"query": "q", "response": "r"}\n{"query": "q"\n{"query": "no answer"}\n')
    rows = "".join(f"{n},What is {n}?,{n},{n + 1},{n + 2},{n + 3},A\n" for n in range(4))
    (folder / "numbers_val.csv").write_text("id,question,A,B,C,D,answer\n" + rows)
    return folder


@pytest.fixture(scope="module")
def person(site):
    """Somebody with a browser. site: a fixture of the module, the address of a running `swift app` first."""
    from webui_person import Person

    one = Person(site[0])
    one.open()
    yield one
    one.browser.quit()


@pytest.fixture(autouse=True)
def picture_of_the_end(request):
    """A picture of what was there at the end of each test that somebody with a browser takes part in."""
    yield
    if "person" in request.fixturenames:
        folder = os.environ["SWIFT_TEST_WEBUI"]
        request.getfixturevalue("person").picture(Path(folder, f"{request.node.name}.png"))
