"""Data files as users have them: packed, in other encodings and dialects, damaged, mixed, with media beside them."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import os

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image
from swift_testing.contracts import bare_model, catalogue

from swift_core import SwiftError
from swift_core.contract.row import Row
from swift_core.data.faults import BadRow
from swift_core.data.load import load_all
from swift_core.data.media import open_audio, open_image, open_media, open_video
from swift_core.data.readers import read_file
from swift_core.data.stream import RowStream
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

PAIR = {"query": "What is 1 + 2?", "response": "3"}
LINE = json.dumps(PAIR)
LINES = f"{LINE}\n\n{LINE}\n"


def pictures_model(folder):
    """A folder with the config of a model that reads pictures, and no weights."""
    place = folder / "model"
    place.mkdir(exist_ok=True)
    config = {"architectures": ["Qwen2VLForConditionalGeneration"], "model_type": "qwen2_vl"}
    (place / "config.json").write_text(json.dumps(config))
    return str(place)


def rows_of(file):
    return [{k: v for k, v in row.items() if k != "_where"} for row in read_file(file)]


def loaded(folder, *files, command="sft", **options):
    """(rows, the job) of data files given by name in `folder`."""
    values = {"model": bare_model(), "device": "cpu", "dataset": [str(folder / name) for name in files], **options}
    job = prepare(command, [Given(k, v, "test") for k, v in values.items()], catalogue())
    return load_all(job, job.options.dataset), job


def zstandard(text):
    return pyarrow.compress(text, "zstd", asbytes=True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", LINES.encode()),
        ("a.jsonl", json.dumps([PAIR, PAIR]).encode()),
        ("a.jsonl", json.dumps([PAIR, PAIR], indent=2).encode()),
        ("a.json", json.dumps({"version": 1, "data": [PAIR, PAIR]}).encode()),
        ("a.jsonl.gz", gzip.compress(LINES.encode())),
        ("a.jsonl", gzip.compress(LINES.encode())),
        ("a.jsonl.bz2", bz2.compress(LINES.encode())),
        ("a.json.xz", lzma.compress(json.dumps([PAIR, PAIR]).encode())),
        ("a.jsonl.zst", zstandard(LINES.encode())),
        ("a.jsonl", LINES.encode("utf-16")),
        ("a.jsonl", LINES.replace("\n", "\r\n").encode("utf-8-sig")),
        ("a.csv", b"query;response\r\nWhat is 1 + 2?;3\r\nWhat is 1 + 2?;3\r\n"),
        ("a.csv", b"sep=|\nquery|response\nWhat is 1 + 2?|3\nWhat is 1 + 2?|3\n"),
        ("a.csv", b"query, response\nWhat is 1 + 2?, 3\nWhat is 1 + 2?, 3\n"),
        ("a.csv.gz", gzip.compress(b'query,response\n"What is 1 + 2?",3\n\n"What is 1 + 2?",3\n')),
        ("a.csv", "query\tresponse\nWhat is 1 + 2?\t3\nWhat is 1 + 2?\t3\n".encode("utf-16")),
    ],
    ids=range(16),
)
def test_rows_are_the_same_in_any_file(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert rows_of(tmp_path / name) == [PAIR, PAIR]


def test_a_long_cell_and_messages_in_a_cell(tmp_path):
    messages = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "x" * 200_000}]
    with (tmp_path / "a.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["prompt", "completion", "solution"])
        writer.writeheader()
        writer.writerow({"prompt": json.dumps(messages[:1]), "completion": str(messages[1:]), "solution": '{"a": 1}'})
    rows, _ = loaded(tmp_path, "a.csv")
    assert rows[0].messages == messages and rows[0].extra == {"solution": '{"a": 1}'}


def test_folders_and_patterns(tmp_path):
    for name in ("b.jsonl", "a.jsonl.gz", ".hidden.jsonl", "dataset_info.json", "._a.jsonl"):
        text = LINES.encode() if name != "a.jsonl.gz" else gzip.compress(LINES.encode())
        (tmp_path / name).write_bytes(text if "jsonl" in name else b"{}")
    (tmp_path / "loop.jsonl").symlink_to(tmp_path)
    assert len(rows_of(tmp_path)) == 4
    assert len(loaded(tmp_path, "[ab]*.jsonl*")[0]) == 4
    (tmp_path / "empty").mkdir()
    with pytest.raises(SwiftError, match="holds no data files"):
        rows_of(tmp_path / "empty")


def test_arrow_fills_in_nulls_that_are_dropped(tmp_path):
    calls = [
        {"name": "f", "arguments": {"city": "Rome"}},
        {"name": "g", "arguments": {"zone": "CET", "tags": [None, 1]}},
    ]
    rows = [
        {
            "messages": [
                {"role": "user", "content": "Q"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "content": "1"},
                {"role": "assistant", "content": "A"},
            ]
        }
        for call in calls
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    found, _ = loaded(tmp_path, "a.parquet")
    assert [row.messages[1]["tool_calls"] for row in found] == [[calls[0]], [calls[1]]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", LINE.encode() + b'\n{"query": "caf\xe9"}', r"a\.jsonl:2: the byte 0xe9 is not UTF-8"),
        ("a.csv", b"query,response\nok,yes\ncaf\xe9,b\n", r"a\.csv:3: the byte 0xe9"),
        ("a.txt", b"caf\xe9\n", r"a\.txt:1: the byte 0xe9"),
        ("a.json", b'[{"query": "caf\xe9"}]', r"a\.json: the byte 0xe9"),
        ("a.jsonl", rb'{"query": "\ud83d", "response": "b"}', r"a\.jsonl:1: a text holds half of a character"),
        ("a.jsonl", b'{"label": ' + b"9" * 5000 + b"}", r"a\.jsonl:1: not valid JSON, Exceeds"),
        ("a.jsonl", b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", r"a\.jsonl:1: it is nested too deeply"),
        ("a.jsonl", b'{"query": "a", "query": "b"}', r"a\.jsonl:1: .*'query' stands twice"),
        ("a.json", b'[{"query": "a"},\n {"query": }]', r"a\.json: not valid JSON, .* line 2, column 12"),
        ("a.csv", b"query,response\na\n", r"a\.csv:2: fewer cells"),
        ("a.csv", b'query,response\na,"b\nc,d\n', r"a\.csv:3: not valid CSV"),
        ("a.csv", b"query,query\na,b\n", r"a\.csv:1: two columns are called 'query'"),
        ("a.parquet", b"no parquet", r"a\.parquet: not a Parquet file"),
        ("a.parquet", b"", r"a\.parquet: not a Parquet file"),
        ("a.jsonl.gz", gzip.compress(LINES.encode() * 99)[:40], r"a\.jsonl\.gz: the file cannot be read"),
        ("a.jsonl.xz", lzma.compress(LINES.encode() * 99)[:40], r"a\.jsonl\.xz: the file cannot be read"),
        ("a.jsonl.zst", zstandard(LINES.encode() * 99)[:20] + b"garbage", r"a\.jsonl\.zst: the file cannot be read"),
    ],
    ids=range(17),
)  # fmt: skip
def test_a_damaged_file_is_named_with_its_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SwiftError, match=message):
        rows_of(tmp_path / name)


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(SwiftError, match="not a regular file"):
        rows_of(tmp_path / "a.jsonl")


BAD_LINES = [
    '{"query": "a", "response": "b"}',
    '{"query": "c"',
    '{"query": "d", "response": ""}',
    '{"query": "e", "response": "f", "history": 1.5}',
    '{"query": "\\ud83d", "response": "b"}',
    "[]",
    '{"query": "g", "response": "h"}',
]


def test_strict_false_skips_whatever_is_wrong_with_a_row(tmp_path):
    (tmp_path / "a.jsonl").write_text("\n".join(BAD_LINES))
    with pytest.raises(BadRow, match=r"a\.jsonl:2: not valid JSON"):
        loaded(tmp_path, "a.jsonl")
    rows, job = loaded(tmp_path, "a.jsonl", strict=False)
    assert [row.answer for row in rows] == ["b", "h"]
    (said,) = [note for note in job.notes if "skipped" in note]
    assert "skipped 5 bad rows, the first 5:" in said and all(f"a.jsonl:{n}" in said for n in (2, 3, 4, 5, 6))


def test_the_first_ten_are_named(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"query,response\nok,yes\n" + b"only\n" * 12 + b"caf\xe9,b\nok,yes\n")
    rows, job = loaded(tmp_path, "a.csv", strict=False)
    (said,) = [note for note in job.notes if "skipped" in note]
    assert len(rows) == 2 and "skipped 13 bad rows, the first 10:" in said and said.count("\n") == 10


def test_a_stream_skips_them_too(tmp_path):
    (tmp_path / "a.jsonl").write_text("\n".join(BAD_LINES))
    _, job = loaded(tmp_path, "a.jsonl", strict=False)
    assert [row.answer for row in RowStream(job, job.options.dataset)] == ["b", "h"]


def test_columns_that_are_not_there(tmp_path):
    (tmp_path / "a.jsonl").write_text(LINES)
    with pytest.raises(SwiftError, match=r"--columns names quest, which is not there.*There: query, response"):
        loaded(tmp_path, "a.jsonl", columns={"quest": "system"})
    assert len(loaded(tmp_path, "a.jsonl", columns={"my_question": "query"})[0]) == 2  # in our form already


def test_what_is_noticed_is_said_once(tmp_path):
    first = {
        "messages": [
            {"role": "assistant", "content": "Hi"},
            {"role": "user", "content": "Q"},
            {"role": "assistant", "content": "A"},
        ]
    }
    (tmp_path / "a.jsonl").write_text(json.dumps({**first, "difficulty": 3}) + "\n" + LINE)
    rows, job = loaded(tmp_path, "a.jsonl")
    assert len(rows) == 2
    assert any("kept beside the conversation" in note and "difficulty" in note for note in job.notes)
    assert any(
        "1 conversations begin with the assistant, the first" in note and "a.jsonl:1" in note for note in job.notes
    )


def test_whole_texts_are_for_pre_training(tmp_path):
    (tmp_path / "a.txt").write_text("one text\nanother\n")
    with pytest.raises(SwiftError, match=r"a\.txt:1: .*swift pt"):
        loaded(tmp_path, "a.txt")
    assert len(loaded(tmp_path, "a.txt", command="pt")[0]) == 2


def test_tags_are_words_for_a_model_of_text_alone(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"query": "What is <image>?", "response": "A tag."}))
    assert loaded(tmp_path, "a.jsonl")[0][0].messages[0]["content"] == "What is <image>?"
    with pytest.raises(SwiftError, match="1 <image> in the text but 0 given"):
        loaded(tmp_path, "a.jsonl", model=pictures_model(tmp_path))


# -- several data sets ---------------------------------------------------------------------------------------
def test_data_sets_are_mixed_by_weight(tmp_path):
    for name, count in (("a.jsonl", 60), ("b.jsonl", 20)):
        lines = [json.dumps({"query": f"{name} {n}", "response": "x"}) for n in range(count)]
        (tmp_path / name).write_text("\n".join(lines))
    rows, job = loaded(tmp_path, "a.jsonl", "b.jsonl", dataset_weights=[1, 3])
    asked = [row.messages[0]["content"] for row in rows]
    ours, others = ([text for text in asked if text.startswith(name)] for name in ("a", "b"))
    assert len(ours) == len(set(ours)) == 20 and len(others) == 60 and len(set(others)) == 20
    assert any("mixed 20 rows of" in note for note in job.notes)
    with pytest.raises(SwiftError, match="1 weights for 2 data sets"):
        loaded(tmp_path, "a.jsonl", "b.jsonl", dataset_weights=[1])
    with pytest.raises(SwiftError, match="not all of them 0"):
        loaded(tmp_path, "a.jsonl", "b.jsonl", dataset_weights=[0, 0])
    drawn = [row.messages[0]["content"][0] for row in RowStream(job, job.options.dataset)]
    assert len(drawn) >= 60 and 0.6 < drawn.count("b") / len(drawn) < 0.9


def test_a_dataset_info_names_data_sets(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"ask": "Q", "say": "A"}))
    entry = {"file_name": "rows.jsonl", "columns": {"prompt": "ask", "response": "say"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"mine": entry}))
    values = {"model": bare_model(), "device": "cpu", "dataset": ["mine#2"], "dataset_dir": str(tmp_path)}
    job = prepare("sft", [Given(k, v, "test") for k, v in values.items()], catalogue())
    assert [row.answer for row in load_all(job, job.options.dataset)] == ["A", "A"]


# -- media ---------------------------------------------------------------------------------------------------
def test_pictures_are_looked_for_beside_the_data_file_or_under_the_root(tmp_path):
    (tmp_path / "pics").mkdir()
    Image.new("RGB", (4, 4), "red").save(tmp_path / "pics" / "a.png")
    uri = (tmp_path / "pics" / "a.png").as_uri()
    line = {"query": "Q", "response": "A", "images": ["pics/a.png", {"path": "pics/a.png"}, uri]}
    (tmp_path / "a.jsonl").write_text(json.dumps(line))
    model = pictures_model(tmp_path)
    (row,) = loaded(tmp_path, "a.jsonl", model=model)[0]
    assert [image.getpixel((0, 0)) for image in open_media(row)["image"]] == [(255, 0, 0)] * 3
    (tmp_path / "b.csv").write_text('query,response,images\nQ,A,"[""a.png"", ""a.png""]"\n')
    (row,) = loaded(tmp_path, "b.csv", model=model, media_root=str(tmp_path / "pics"))[0]
    assert [image.size for image in open_media(row)["image"]] == [(4, 4)] * 2
    (row,) = loaded(tmp_path, "b.csv", model=model)[0]
    with pytest.raises(SwiftError, match=r"'a\.png' does not exist.*--media_root"):
        open_media(row)


def test_what_is_transparent_is_white():
    glyph = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    glyph.putpixel((1, 0), (0, 0, 0, 255))
    glyph.putpixel((2, 0), (0, 0, 0, 128))
    for image in (glyph, glyph.convert("LA"), glyph.convert("RGBa")):
        values = np.asarray(open_image(image, "row"))[0, :, 0].tolist()
        assert values[:2] == [255, 0] and abs(values[2] - 127) <= 1
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 9, 9, 9])
    palette.putpixel((1, 0), 1)
    palette.info["transparency"] = 0
    assert np.asarray(open_image(palette, "row"))[0].tolist() == [[255] * 3, [9] * 3]


def test_deep_greys_keep_their_range(tmp_path):
    ramp = np.arange(0, 65536, 257, dtype=np.uint16)[None]
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    Image.fromarray(ramp.astype(np.float32) / 65535).save(tmp_path / "ramp.tiff")
    wanted = list(range(256))
    for item in (str(tmp_path / "ramp.png"), str(tmp_path / "ramp.tiff"), ramp, ramp / 65535, ramp.astype(np.int32)):
        assert np.asarray(open_image(item, "row"))[0, :, 1].tolist() == wanted
    colours = np.linspace(0, 1, 12).reshape(2, 2, 3)
    assert np.asarray(open_image(colours, "row"))[1, 1].tolist() == [209, 232, 255]
    with pytest.raises(SwiftError, match="row: ndarray is not an image"):
        open_image(np.array([[np.nan]]), "row")


def wave(rate, seconds=0.1, tone=440):
    return np.sin(2 * np.pi * tone * np.arange(int(rate * seconds)) / rate).astype(np.float32)


def test_media_bytes_of_all_kinds_from_parquet(tmp_path):
    av, soundfile = pytest.importorskip("av"), pytest.importorskip("soundfile")
    Image.new("RGB", (4, 4), "red").save(tmp_path / "a.png")
    soundfile.write(tmp_path / "a.wav", wave(16000), 16000)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=2)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    columns = {"images": "a.png", "audios": "a.wav", "videos": "a.mp4"}
    row = {name: [{"bytes": (tmp_path / file).read_bytes(), "path": None}] for name, file in columns.items()}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{**PAIR, **row}]), tmp_path / "a.parquet")
    (found,) = read_file(tmp_path / "a.parquet")
    from swift_core.data.convert import to_row

    opened = open_media(to_row(found))
    assert opened["image"][0].getpixel((0, 0)) == (255, 0, 0)
    assert np.abs(opened["audio"][0] - wave(16000)).max() < 1e-3
    assert opened["video"][0].shape[1:] == (32, 32, 3)


def test_sounds_get_the_rate_of_the_model():
    given = {"array": wave(48000), "sampling_rate": 48000}
    found = open_audio(given, "row", 16000)
    assert found.shape == (1600,) and np.abs(found - wave(16000))[50:-50].max() < 0.02
    assert open_audio(given["array"], "row", 16000).shape == (4800,)  # an array alone is taken to have it
    with pytest.raises(SwiftError, match="samples are numbers"):
        open_audio("no rate".encode, "row")


def test_media_that_are_none_say_so_in_few_words(tmp_path):
    with pytest.raises(SwiftError, match=r"row: .*base64.* does not exist") as caught:
        open_image("QUJD" * 100_000, "row")
    assert len(str(caught.value)) < 400
    frames = [Image.new("RGB", (4, 4)), Image.new("RGB", (8, 4))]
    with pytest.raises(SwiftError, match="row: frames of several sizes"):
        open_video(frames, "row")
    with pytest.raises(SwiftError, match="row: frames are an array"):
        open_video(np.zeros(()), "row")
    with pytest.raises(SwiftError, match="row, audio 1: samples"):
        open_media(Row([], audios=[[]], where="row"))
