"""Each family's written form, letter by letter, and both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swift_plugin_bbox_tagged import cogvlm, deepseek_vl2, florence, internvl, minicpmv, paligemma, qwen_vl
from swift_testing import BoxContract

from swift_core.contract.row import Row

WRITTEN = {
    qwen_vl: "A <ref>dog</ref><box>(100,200),(500,1000)</box>.",
    internvl: "A <ref>dog</ref><box>[[100, 200, 500, 1000]]</box>.",
    minicpmv: "A <ref>dog</ref><box>100 200 500 1000</box>.",
    deepseek_vl2: "A <|ref|>dog<|/ref|><|det|>[[100, 200, 500, 999]]<|/det|>.",
    cogvlm: "A dog[[100,200,500,999]].",
    florence: "A dog<loc_100><loc_200><loc_500><loc_999>.",
    paligemma: "A dog<loc0205><loc0102><loc1023><loc0512>.",
}
FORMS = [pytest.param(form, id=form.name) for form in WRITTEN]


@pytest.mark.parametrize("form", FORMS)
def test_is_written_as_the_family_was_taught(form):
    row = Row([], image_sizes=[(640, 480)], objects={"ref": ["dog"], "bbox": [[64, 96, 320, 480]]})
    assert form.write_boxes(text="A <ref-object><bbox>.", row=row) == WRITTEN[form]


@pytest.mark.parametrize("form", FORMS)
def test_points_are_written_and_read(form):
    row = Row([], image_sizes=[(200, 100)], objects={"bbox": [[100, 25]]})
    (found,) = form.read_boxes(text=form.write_boxes(text="at <bbox>", row=row), width=200, height=100)
    assert found["bbox"] == pytest.approx([100, 25], abs=0.2)


@pytest.mark.parametrize("form", [qwen_vl, internvl, minicpmv, deepseek_vl2], ids=lambda form: form.name)
def test_a_name_is_read_with_the_boxes_that_follow_it(form):
    row = Row([], image_sizes=[(100, 100)], objects={"ref": ["dog"], "bbox": [[0, 0, 50, 50]] * 3})
    text = form.write_boxes(text="<ref-object><bbox>, <bbox> and then <bbox>", row=row)
    assert [item["ref"] for item in form.read_boxes(text=text, width=100, height=100)] == ["dog", "dog", None]


@pytest.mark.parametrize("form", FORMS)
@given(st.lists(st.sampled_from(["<box>", "</box>", "[[", "]]", "(", ")", "7", ",", " ", "<loc_", ">", "<ref>"])))
def test_any_text_can_be_read(form, pieces):
    assert all(len(item["bbox"]) in (2, 4) for item in form.read_boxes(text="".join(pieces), width=10, height=10))


class TestTagged(BoxContract):
    name = "internvl"


class TestLocationTokens(BoxContract):
    name = "paligemma"


class TestOthers(BoxContract):
    name = "qwen_vl"


class TestDeepSeek(BoxContract):
    name = "deepseek_vl2"


class TestMiniCpm(BoxContract):
    name = "minicpmv"


class TestCogVlm(BoxContract):
    name = "cogvlm"


class TestFlorence(BoxContract):
    name = "florence"
