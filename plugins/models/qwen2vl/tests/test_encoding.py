"""Qwen2-VL through its real processor: ids, labels, batches and pixels; and what is refused."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from swift_plugin_runtime.batching.collate import pad_batch
from swift_plugin_runtime.encoding.multimodal import lay_beside
from swift_plugin_runtime.loading.processor import load_processor
from swift_plugin_runtime.training.trainer import token_losses
from swift_testing.tiny import tiny_qwen2_vl

from swift_core import SwiftError
from swift_core.data.convert import to_row
from swift_core.data.media import open_image
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import load_model
from swift_core.templates.encode import IGNORED
from swift_core.templates.render import spans_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_qwen2_vl(tmp_path_factory.mktemp("vl"), pixels=(28 * 28, 112 * 112))


def job_for(folder, **options):
    given = {"model": folder, **options}
    return prepare("sft", [Given(k, v, "test") for k, v in given.items()])


@pytest.fixture(scope="module")
def loaded(folder):
    """(job, model, processor)"""
    job = job_for(folder)
    return job, *load_model(job)


def picture(seed, width=56, height=56):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def encode(loaded, *rows, generation=False):
    job, _, processor = loaded
    return job.hook.encode(job=job, rows=list(rows), processor=processor, generation=generation)


def chat(*turns, **columns):
    roles = ("user", "assistant")
    return to_row({"messages": [{"role": roles[n % 2], "content": t} for n, t in enumerate(turns)], **columns})


def two_images():
    images = [picture(1), picture(2, 84, 28)]
    return chat("Look: <image> What is it?", "A dog.", "And here <image> between words?", "A cat.\n", images=images)


def plain_call(loaded, row):
    job, _, processor = loaded
    text = "".join(s.text for s in spans_of(job, row, processor.tokenizer))
    return processor(text=[text], images=row.images, return_tensors="pt")


# -- ids and labels ----------------------------------------------------------------------------------------
def test_ids_and_tensors_are_those_of_the_processors_own_call(loaded):
    row = two_images()
    ours, theirs = encode(loaded, row)[0], plain_call(loaded, row)
    assert loaded[0].memo["markers", id(loaded[2])]
    assert ours["input_ids"] == theirs["input_ids"][0].tolist()
    assert ours["mm_token_type_ids"] == theirs["mm_token_type_ids"][0].tolist()
    assert torch.equal(ours["pixel_values"], theirs["pixel_values"])
    assert torch.equal(ours["image_grid_thw"], theirs["image_grid_thw"])
    pad = loaded[2].image_token_id
    assert ours["input_ids"].count(pad) == sum(int(g.prod()) // 4 for g in ours["image_grid_thw"])


def trained(loaded, item):
    """Trained text, run by run."""
    runs, before = [], IGNORED
    for label in item["labels"]:
        if label != IGNORED:
            runs.append([]) if before == IGNORED else None
            runs[-1].append(label)
        before = label
    return [loaded[2].tokenizer.decode(run) for run in runs]


def test_labels_cover_the_answers_and_their_ends(loaded):
    item = encode(loaded, two_images())[0]
    assert trained(loaded, item) == ["A dog.<|im_end|>", "A cat.\n<|im_end|>"]
    assert all(label in (token, IGNORED) for token, label in zip(item["input_ids"], item["labels"], strict=True))


def test_a_prompt_is_a_prefix_of_the_training_row(loaded):
    row = two_images()
    prompt = encode(loaded, row, generation=True)[0]
    assert "labels" not in prompt
    assert encode(loaded, row)[0]["input_ids"][: len(prompt["input_ids"])] == prompt["input_ids"]
    assert torch.equal(prompt["pixel_values"], encode(loaded, row)[0]["pixel_values"])


def test_loss_scales_reach_the_tokens_of_an_answer_about_a_picture(folder, loaded):
    job = job_for(folder, loss_scale="react")
    row = chat("<image>Do it", 'Thought: ok\nAction: tap\nAction Input: {"x": 1}\nObservation:', images=[picture(1)])
    item = encode((job, *loaded[1:]), row)[0]
    assert item["input_ids"] == plain_call(loaded, row)["input_ids"][0].tolist()
    doubled = [i for i, w in zip(item["input_ids"], item["loss_scale"], strict=True) if w == 2.0]
    assert loaded[2].tokenizer.decode(doubled) == 'Action: tap\nAction Input: {"x": 1}\nObservation:'


def test_the_scale_all_trains_text_and_never_placeholders(folder, loaded):
    job = job_for(folder, loss_scale="all")
    item = encode((job, *loaded[1:]), two_images())[0]
    skipped = {i for i, label in zip(item["input_ids"][1:], item["labels"][1:], strict=True) if label == IGNORED}
    assert skipped == {loaded[2].image_token_id}


def test_boxes_are_written_in_thousandths_of_the_original_picture(folder, loaded):
    job = job_for(folder, max_pixels=28 * 28)
    row = chat(
        "<image>Find <ref-object>.",
        "<bbox>",
        images=[picture(1, 100, 50)],
        objects={"ref": ["dog"], "bbox": [[10, 10, 50, 50]]},
    )
    item = encode((job, *loaded[1:]), row)[0]
    assert trained(loaded, item) == ["<|box_start|>(100,200),(500,1000)<|box_end|><|im_end|>"]
    assert "Find <|object_ref_start|>dog<|object_ref_end|>." in loaded[2].tokenizer.decode(item["input_ids"])
    found = job.hook.read_boxes(job=job, text=trained(loaded, item)[0], width=100, height=50)
    assert found == [{"ref": None, "bbox": [10, 10, 50, 50]}]


def test_max_pixels_shrinks_pictures(folder, loaded):
    row = chat("<image>?", "Yes.", images=[picture(1, 112, 112)])
    small = job_for(folder, max_pixels=56 * 56)
    tokens = [
        encode((job, *loaded[1:]), row)[0]["input_ids"].count(loaded[2].image_token_id) for job in (loaded[0], small)
    ]
    assert tokens == [16, 4]


# -- the loss ----------------------------------------------------------------------------------------------
def row_loss(model, batch):
    batch = dict(batch)
    labels = batch.pop("labels")
    with torch.no_grad():
        return token_losses(model, batch, labels)[0]


def test_a_mixed_batch_has_the_losses_of_its_rows(loaded):
    text_only = chat("How are you?", "Fine, thank you.", "And now?", "Still fine.")
    one = chat("<image>What is it?", "A long answer about a picture.", images=[picture(3, 28, 84)])
    items = encode(loaded, two_images(), text_only, one)
    alone = torch.cat([row_loss(loaded[1], pad_batch([item], 0)) for item in items])
    together = row_loss(loaded[1], pad_batch(items, 0))
    assert torch.allclose(alone, together, atol=1e-4)


def test_pixels_change_the_logits(loaded):
    items = [encode(loaded, chat("<image>?", "A dog.", images=[picture(seed)]))[0] for seed in (1, 2)]
    assert items[0]["input_ids"] == items[1]["input_ids"]
    first, second = (row_loss(loaded[1], pad_batch([item], 0)) for item in items)
    assert not torch.allclose(first, second, atol=1e-4)


# -- tokenizers that write other tokens around a marker ----------------------------------------------------
def metaspace_processor(processor):
    """The same processor with a SentencePiece-like tokenizer, which puts `▁` before every stretch of text."""
    from swift_plugin_runtime.loading.processor import assemble
    from swift_testing.tiny import CHATML_TOKENS, VISION_TOKENS
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2VLProcessor

    pieces = ["<unk>", "▁", *map(chr, range(32, 127)), "\n"]
    raw = Tokenizer(models.BPE({p: n for n, p in enumerate(dict.fromkeys(pieces))}, [], unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    raw.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", pad_token="<|endoftext|>")
    tokenizer.add_special_tokens({"additional_special_tokens": [*CHATML_TOKENS, *VISION_TOKENS]})
    return assemble(Qwen2VLProcessor, image_processor=processor.image_processor, tokenizer=tokenizer)


def test_such_a_tokenizer_keeps_its_own_ids_and_right_labels(folder, loaded):
    processor = metaspace_processor(loaded[2])
    job = job_for(folder, template="qwen2_vl")
    mine = (job, loaded[1], processor)
    row = two_images()
    item = encode(mine, row)[0]
    assert not job.memo["markers", id(processor)]
    assert item["input_ids"] == plain_call(mine, row)["input_ids"][0].tolist()
    assert [text.replace("▁", " ").strip() for text in trained(mine, item)] == [
        "A dog.<|im_end|>",
        "A cat.\n<|im_end|>",
    ]


def test_stretches_of_text_are_found_between_media():
    assert lay_beside([1, 2, 9, 9, 9, 3, 4, 9, 5], [1, 2, 9, 3, 4, 9, 5], {9}, "row") == [
        (0, 0, 2),
        (3, 5, 2),
        (6, 8, 1),
    ]
    with pytest.raises(SwiftError, match="row: the processor writes the conversation with other tokens"):
        lay_beside([1, 7, 9, 9, 3], [1, 2, 9, 3], {9}, "row")


# -- what is refused ---------------------------------------------------------------------------------------
def refused(loaded, row, match):
    with pytest.raises(SwiftError, match=match):
        encode(loaded, row)


def test_a_processor_that_ignores_the_picture_is_an_error(loaded, monkeypatch):
    processor = loaded[2]
    monkeypatch.delattr(processor, "_swift_marking", raising=False)
    monkeypatch.setattr(
        type(processor), "__call__", lambda self, text, images, **rest: self.tokenizer(text, **rest), raising=False
    )
    row = chat("<image>?", "A dog.", images=[picture(1)])
    refused(loaded, row, "row: the processor took the image but returned nothing for it")
    monkeypatch.undo()
    del processor._swift_marking


def test_video_without_a_video_processor_is_an_error(loaded):
    row = chat("<video>?", "A dog.", videos=[np.zeros((4, 28, 28, 3), dtype=np.uint8)])
    refused(loaded, row, "row: the video processor of this model needs torchvision")


def test_settings_of_a_video_processor_that_cannot_be_made_are_kept(folder, loaded, tmp_path):
    """Where torchvision is installed, nothing opens a checkpoint of Qwen2-VL without them."""
    written = json.loads(Path(folder, "processor_config.json").read_text())["video_processor"]
    loaded[2].save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again/processor_config.json").read_text())["video_processor"] == written
    shutil.copytree(folder, tmp_path / "older")
    said = json.loads((tmp_path / "older/processor_config.json").read_text())
    (tmp_path / "older/video_preprocessor_config.json").write_text(json.dumps(said.pop("video_processor")))
    (tmp_path / "older/processor_config.json").write_text(json.dumps(said))
    load_processor(str(tmp_path / "older"), False).save_pretrained(tmp_path / "newer")
    assert json.loads((tmp_path / "newer/processor_config.json").read_text())["video_processor"] == written


def test_text_that_holds_a_placeholder_token_is_an_error(loaded):
    refused(loaded, chat("<image> <|image_pad|>?", "A dog.", images=[picture(1)]), "row: the processor refuses the row")


def test_a_placeholder_in_a_question_about_html_is_a_word(loaded):
    text = "What is <video> in HTML, and <image>?"
    refused(loaded, chat(text, "A tag."), "row: 1 <image> in the text but 0 given")
    row = dataclasses.replace(chat(text, "A tag."), literal=True)
    (item,) = encode(loaded, row)
    assert text in loaded[2].tokenizer.decode(item["input_ids"])
    pictured = dataclasses.replace(chat("<image> <video>?", "A tag.", images=[picture(1)]), literal=True)
    (item,) = encode(loaded, pictured)
    assert "<|vision_end|> <video>?" in loaded[2].tokenizer.decode(item["input_ids"])


def test_files_that_are_no_pictures_are_errors(loaded, tmp_path):
    broken = {"text.png": b"This is no picture.", "empty.png": b""}
    picture(1, 200, 200).save(tmp_path / "whole.png")
    broken["cut.png"] = (tmp_path / "whole.png").read_bytes()[:5000]
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
        row = chat("<image>?", "A dog.", images=[str(tmp_path / name)], _where="rows.jsonl:4")
        refused(loaded, row, f"rows.jsonl:4, image 1: .*{name} is not an image")
    row = chat("<image><image>?", "A dog.", images=[str(tmp_path / "whole.png"), "none.png"], _where="rows.jsonl:5")
    refused(loaded, row, "rows.jsonl:5, image 2: the file 'none.png' does not exist")


def test_pictures_are_read_from_every_form_and_stand_upright(tmp_path):
    tall = picture(5, 20, 40)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: turn by 90 degrees to see it upright
    tall.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    forms = [tall, np.asarray(tall), str(tmp_path / "turned.png"), (tmp_path / "turned.png").read_bytes()]
    for form in forms:
        assert np.array_equal(np.asarray(open_image(form, "row")), np.asarray(tall))


def test_the_command_line_names_the_row(folder, tmp_path):
    from swift_core.job.specs import find_job

    rows = [{"query": "<image>?", "response": "A dog.", "images": ["missing.png"]}]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(r) for r in rows))
    job = job_for(folder, dataset=str(tmp_path / "rows.jsonl"), output_dir=str(tmp_path / "out"))
    with pytest.raises(SwiftError, match=r"rows.jsonl:1, image 1: the file 'missing.png' does not exist"):
        find_job("sft").runner()(job)


# -- what trains -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("flags", "trains"),
    [
        ({}, {"llm"}),
        ({"freeze_aligner": False}, {"llm", "aligner"}),
        ({"freeze_vit": False}, {"llm", "vit"}),
        ({"freeze_vit": False, "freeze_aligner": False, "freeze_llm": True}, {"vit", "aligner"}),
    ],
)
@pytest.mark.parametrize("tuner", ["full", "lora"])
def test_the_freeze_flags_keep_whole_parts(folder, tuner, flags, trains):
    job = job_for(folder, tuner=[tuner], **flags)
    model = job.hook.attach_tuner(job=job, model=load_model(job)[0], name="default")
    parts = {"visual.merger.": "aligner", "visual.": "vit"}
    moving = [name for name, p in model.named_parameters() if p.requires_grad]
    assert {next((part for key, part in parts.items() if key in name), "llm") for name in moving} == trains
