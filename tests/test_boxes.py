"""Boxes: every installed converter writes and reads back pixels; what does not agree is refused with its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_core import SwiftError
from swift_core.catalogue.entries import Catalogue
from swift_core.contract.row import Row
from swift_core.data.boxes import fill_placeholders, pixel_boxes, share_objects
from swift_core.data.convert import to_row
from swift_core.data.media import shrunk_size
from swift_core.job.job import PreparedJob
from swift_core.job.selected import Selected
from swift_core.job.specs import find_job
from swift_core.jobs.options import TrainOptions

QUANTUM = {"real": lambda n: 1.0, "norm_1": lambda n: n / 10_000, "norm_1000": lambda n: n / 1000}
QUANTUM |= dict.fromkeys(("qwen2_vl", "qwen_vl", "internvl", "minicpmv"), QUANTUM["norm_1000"])
QUANTUM |= dict.fromkeys(("deepseek_vl2", "cogvlm", "florence", "paligemma"), lambda n: n / 999)
"""Converter → its smallest step, in pixels of a side that is n pixels long."""


def job_with(name, max_pixels=None):
    """A job that holds this converter alone."""
    entry = Catalogue.installed().find("bbox", name)
    component = entry.load()
    component = component() if isinstance(component, type) else component
    return PreparedJob(find_job("sft"), TrainOptions(max_pixels=max_pixels), [Selected(entry, name, "test", component)])


@pytest.fixture(scope="module")
def converters():
    names = [entry.name for entry in Catalogue.installed().of_kind("bbox")]
    assert set(names) >= set(QUANTUM)
    return {name: job_with(name) for name in QUANTUM}


@st.composite
def pictures(draw):
    """A size, and boxes or points inside it in pixels."""
    width, height = draw(st.integers(8, 4000)), draw(st.integers(8, 4000))
    share = st.floats(0, 1)
    boxes = []
    for _ in range(draw(st.integers(1, 4))):
        x, y = sorted([draw(share), draw(share)]), sorted([draw(share), draw(share)])
        corners = [x[0] * width, y[0] * height, x[1] * width, y[1] * height]
        boxes.append(corners[:2] if draw(st.booleans()) else corners)
    return (width, height), boxes


def conversation(size, boxes):
    text = " and ".join(["<ref-object><bbox>"] * len(boxes))
    refs = [f"thing {n}" for n in range(len(boxes))]
    return text, Row(
        [{"role": "user", "content": "?"}, {"role": "assistant", "content": text}],
        images=["picture"],
        image_sizes=[size],
        objects={"ref": refs, "bbox": boxes, "bbox_type": "real"},
    )


@pytest.mark.parametrize("name", list(QUANTUM))
@given(pictures())
def test_boxes_come_back_within_one_step_of_the_convention(converters, name, picture):
    size, boxes = picture
    job = converters[name]
    text, row = conversation(size, boxes)
    written = job.hook.write_boxes(job=job, text=text, row=row)
    assert "<bbox>" not in written and "<ref-object>" not in written
    found = job.hook.read_boxes(job=job, text=written, width=size[0], height=size[1])
    assert len(found) == len(boxes)
    for box, item in zip(boxes, found, strict=True):
        steps = [QUANTUM[name](size[i % 2]) for i in range(len(box))]
        assert item["bbox"] == [pytest.approx(v, abs=s * 0.500001) for v, s in zip(box, steps, strict=True)]


@pytest.mark.parametrize("bbox_type", ["real", "norm_1", "norm_1000"])
def test_the_three_given_forms_mean_the_same_pixels(bbox_type):
    box = {"real": [20, 10, 100, 40], "norm_1": [0.1, 0.1, 0.5, 0.4], "norm_1000": [100, 100, 500, 400]}[bbox_type]
    row = Row([], image_sizes=[(200, 100)], objects={"bbox": [box], "bbox_type": bbox_type})
    assert pixel_boxes(row) == [([20, 10, 100, 40], (200, 100))]


def test_plain_forms_are_written_as_bracketed_numbers(converters):
    row = Row([], image_sizes=[(200, 100)], objects={"bbox": [[20, 10, 100, 40], [30, 50]]})
    write = {n: converters[n].hook.write_boxes(job=converters[n], text="<bbox> <bbox>", row=row) for n in converters}
    assert write["real"] == "[20, 10, 100, 40] [30, 50]"
    assert write["norm_1"] == "[0.1, 0.1, 0.5, 0.4] [0.15, 0.5]"
    assert write["norm_1000"] == "[100, 100, 500, 400] [150, 500]"


def test_corner_pairs_are_read_too(converters):
    found = converters["norm_1000"].hook.read_boxes(
        job=converters["norm_1000"], text="[(100,100),(500,400)]", width=200, height=100
    )
    assert found == [{"ref": None, "bbox": [20, 10, 100, 40]}]


def test_pixels_shrink_with_the_picture_and_grow_back():
    job = job_with("real", max_pixels=5000)
    assert shrunk_size(200, 100, 5000) == (100, 50)
    row = Row([], image_sizes=[(200, 100)], objects={"bbox": [[20, 10, 100, 40]]})
    written = job.hook.write_boxes(job=job, text="<bbox>", row=row)
    assert written == "[10, 5, 50, 20]"
    assert job.hook.read_boxes(job=job, text=written, width=200, height=100)[0]["bbox"] == [20, 10, 100, 40]


def test_each_box_belongs_to_its_image_and_each_text_takes_its_own_objects():
    row = Row(
        [],
        image_sizes=[(100, 100), (1000, 10)],
        objects={"ref": ["a", "b"], "bbox": [[1, 2], [900, 5], [3, 4]], "image_id": [0, 1, 0]},
    )
    shares = share_objects(row, ["<ref-object>?", "<bbox>", "nothing", "<ref-object><bbox><bbox>"])
    assert [s.objects["ref"] for s in shares] == [["a"], [], [], ["b"]]
    assert [pixel_boxes(s) for s in shares] == [
        [],
        [([1, 2], (100, 100))],
        [],
        [([900, 5], (1000, 10)), ([3, 4], (100, 100))],
    ]


def bad(match, **objects):
    return pytest.param(objects, match, id=match)


@pytest.mark.parametrize(
    ("objects", "match"),
    [
        bad("rows:3, box 1: .*does not lie in the 100 × 80 picture", bbox=[[10, 10, 120, 20]]),
        bad("rows:3, box 2: .*does not lie", bbox=[[0, 0, 1, 1], [50, 50, 40, 60]]),
        bad("rows:3, box 1: .*does not lie", bbox=[[-5, 0]]),
        bad("rows:3, box 1: a box is a list of 4 numbers", bbox=[[1, 2, 3]]),
        bad("rows:3, box 1: a box is a list of 4 numbers", bbox=["1, 2"]),
        bad("rows:3, box 1: a box is a list of 4 numbers", bbox=[[1, float("nan")]]),
        bad("rows:3, box 1: bbox_type 'inches' is not", bbox=[[1, 2]], bbox_type="inches"),
        bad("rows:3, box 1: it belongs to image 1 .*has 1 image", bbox=[[1, 2]], image_id=[1]),
        bad("rows:3, box 1: it belongs to image -1", bbox=[[1, 2]], image_id=[-1]),
        bad("rows:3: 2 boxes but 1 entries in image_id", bbox=[[1, 2], [1, 2]], image_id=[0]),
    ],
)
def test_bad_boxes_are_refused_with_their_place(objects, match):
    with pytest.raises(SwiftError, match=match):
        pixel_boxes(Row([], image_sizes=[(100, 80)], objects=objects, where="rows:3"))


def test_more_placeholders_than_objects_are_refused():
    row = Row([], image_sizes=[(9, 9)], objects={"bbox": [[1, 2]]}, where="rows:3")
    with pytest.raises(SwiftError, match="rows:3: 2 <bbox> in the text but 1 left"):
        fill_placeholders("<bbox><bbox>", row, str, lambda box, size: "")


RAW = {"query": "<image>Where is <ref-object>?", "response": "<bbox>", "images": ["a.png"], "_where": "rows:7"}


def test_the_list_form_of_objects_is_read():
    objects = [{"caption": "dog", "bbox": [1, 2, 3, 4], "bbox_type": "norm_1000", "image": 0}]
    row = to_row({**RAW, "objects": objects})
    row.image_sizes = [(100, 1000)]
    assert row.objects["ref"] == ["dog"]
    assert pixel_boxes(row) == [([0.1, 2.0, 0.3, 4.0], (100, 1000))]


@pytest.mark.parametrize(
    ("objects", "match"),
    [
        ({"ref": ["dog"], "bbox": []}, "rows:7: 1 <bbox> in the text but 0 in objects.bbox"),
        ({"ref": ["dog"], "bbox": [[1, 2], [3, 4]]}, "rows:7: 1 <bbox> in the text but 2 in objects.bbox"),
        ({"bbox": [[1, 2]]}, "rows:7: 1 <ref-object> in the text but only 0 in objects.ref"),
        (None, "rows:7: 1 <bbox> in the text but 0 in objects.bbox"),
        ({"ref": ["dog"], "bbox": [[1, 2]], "bbox_type": "feet"}, "rows:7: bbox_type 'feet'"),
        ([{"caption": "dog"}], "rows:7: object 1 has no bbox"),
        ("7", "rows:7: objects must hold"),
    ],
)
def test_rows_whose_text_and_objects_disagree_are_refused(objects, match):
    with pytest.raises(SwiftError, match=match):
        to_row({**RAW, "objects": objects})


def test_a_row_that_awaits_its_answer_may_bring_the_true_boxes():
    raw = {"query": RAW["query"], "images": ["a.png"], "objects": {"ref": ["dog"], "bbox": [[1, 2]]}}
    assert to_row(raw).objects["bbox"] == [[1, 2]]
