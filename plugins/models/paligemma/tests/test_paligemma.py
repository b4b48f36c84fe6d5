"""PaliGemma: one line break ends the question, none follows the answer, and the answer alone is read causally."""

import numpy as np
import pytest
from PIL import Image
from swift_testing import ModelContract
from swift_testing.conformance.processors import make_processor
from swift_testing.conformance.tiny_family import write_checkpoint

from swift_core.catalogue.entries import Catalogue
from swift_core.data.convert import to_row
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import load_model


class TestPaliGemma(ModelContract):
    name = "paligemma"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """(job, model, processor)"""
    card = Catalogue.installed().find("model", "paligemma").load()
    processor, changes = make_processor(card)
    folder = write_checkpoint(card, tmp_path_factory.mktemp("paligemma"), processor, **changes)
    job = prepare("sft", [Given("model", folder, "test")])
    return job, *load_model(job)


def encode(loaded, generation=False, **columns):
    job, _, processor = loaded
    row = to_row({"query": "<image>caption en", "response": "A cat.", **columns})
    return job.hook.encode(job=job, rows=[row], processor=processor, generation=generation)[0]


def text_of(loaded, item):
    return loaded[2].tokenizer.decode(item["input_ids"])


@pytest.fixture
def picture():
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (56, 56, 3), dtype=np.uint8))


def test_a_row_is_picture_question_line_break_answer_end(loaded, picture):
    item = encode(loaded, images=[picture])
    assert text_of(loaded, item) == "<image>" * 16 + "<s>caption en\nA cat.<eos>"
    trained = [label for label in item["labels"] if label >= 0]
    assert loaded[2].tokenizer.decode(trained) == "A cat.<eos>"


def test_the_prompt_ends_with_one_line_break_and_is_how_the_row_begins(loaded, picture):
    prompt, item = (encode(loaded, generation, images=[picture]) for generation in (True, False))
    assert text_of(loaded, prompt).endswith("caption en\n")
    assert item["input_ids"][: len(prompt["input_ids"])] == prompt["input_ids"]


def test_the_answer_alone_is_marked_as_read_causally(loaded, picture):
    item, prompt = encode(loaded, images=[picture]), encode(loaded, True, images=[picture])
    assert item["token_type_ids"] == [int(label >= 0) for label in item["labels"]]
    assert prompt["token_type_ids"] == [0] * len(prompt["input_ids"])


def test_text_alone_is_marked_too(loaded):
    item = encode(loaded, query="caption en")
    assert item["token_type_ids"] == [int(label >= 0) for label in item["labels"]]


def test_the_saved_processor_is_opened_again(loaded, tmp_path):
    job, model, processor = loaded
    job.hook.save_model(job=job, model=model, processor=processor, folder=str(tmp_path))
    again = load_model(prepare("sft", [Given("model", str(tmp_path), "test")]))[1]
    assert type(again).__name__ == "PaliGemmaProcessor"
    assert again.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
