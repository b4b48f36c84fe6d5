"""Qwen2-VL's written form, both ways. (Its round trip in pixels is tested with all converters in tests/.)"""

from hypothesis import given
from hypothesis import strategies as st
from swift_plugin_bbox_qwen2vl import Qwen2VL
from swift_testing import BoxContract

from swift_core.contract.row import Row

CONVERTER = Qwen2VL()
DOG = "<|object_ref_start|>dog<|object_ref_end|>"


def test_boxes_points_and_names_are_written_in_thousandths():
    row = Row([], image_sizes=[(640, 480)], objects={"ref": ["dog"], "bbox": [[64, 48, 320, 480], [640, 240]]})
    text = CONVERTER.write_boxes(text="A <ref-object> at <bbox>, looking at <bbox>.", row=row)
    assert text == (
        f"A {DOG} at <|box_start|>(100,100),(500,1000)<|box_end|>, looking at <|box_start|>(1000,500)<|box_end|>."
    )


def test_a_name_is_read_with_the_boxes_that_follow_it():
    text = (
        f"{DOG}<|box_start|>(0,0),(500,1000)<|box_end|>, <|box_start|>(10,20)<|box_end|> and then "
        "<|box_start|>(1,1),(2,2)<|box_end|>"
    )
    assert CONVERTER.read_boxes(text=text, width=200, height=100) == [
        {"ref": "dog", "bbox": [0, 0, 100, 100]},
        {"ref": "dog", "bbox": [2, 2]},
        {"ref": None, "bbox": [0.2, 0.1, 0.4, 0.2]},
    ]


def test_what_is_not_a_box_is_passed_over():
    text = f"{DOG}<|box_start|>(1,2),(3<|box_end|><|box_start|>(a,b)<|box_end|>(1,2),(3,4)<|box_start|>"
    assert CONVERTER.read_boxes(text=text, width=10, height=10) == []


PIECES = ["<|box_start|>", "<|box_end|>", "(", ")", "7", ",", "-", " ", DOG, "\n"]


@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_any_text_can_be_read(pieces):
    for item in CONVERTER.read_boxes(text="".join(pieces), width=10, height=10):
        assert len(item["bbox"]) in (2, 4)


class TestQwen2VL(BoxContract):
    name = "qwen2_vl"
