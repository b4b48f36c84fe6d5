"""Media of several rows in one batch, and the frames that are read of a video."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from swift_plugin_runtime.batching.collate import pad_batch

from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row
from swift_core.data.media import FRAME_RATE, _sampled, open_media


def row(length: int, **media: torch.Tensor) -> dict:
    return {"input_ids": list(range(length)), "labels": [-100] * length, **media}


def test_indexes_into_patches_count_those_of_earlier_rows() -> None:
    """Molmo 2: three patches a crop; -1 stays, the second row's indexes begin behind the first row's six patches."""
    first = row(2, pixel_values=torch.zeros(2, 3, 4), image_token_pooling=torch.tensor([[0, 5], [2, -1]]))
    second = row(3, pixel_values=torch.zeros(1, 3, 4), image_token_pooling=torch.tensor([[0, -1]]))
    batch = pad_batch([first, row(1), second], 0)
    assert batch["image_token_pooling"].tolist() == [[0, 5], [2, -1], [6, -1]]
    assert batch["pixel_values"].shape == (3, 3, 4)


def test_images_laid_out_per_row_are_padded_to_one_shape_and_rows_of_text_have_empty_ones() -> None:
    """Llama 3.2 Vision: [1, images, tiles, …] and a mask that runs along the tokens."""

    def pictured(length: int, images: int, tiles: int) -> dict:
        return row(
            length,
            pixel_values=torch.ones(1, images, tiles, 3, 2, 2),
            aspect_ratio_ids=torch.ones(1, images, dtype=torch.long),
            cross_attention_mask=torch.ones(1, length, images, tiles, dtype=torch.long),
        )

    longer = pad_batch([row(6), pictured(4, 1, 2)], 0)["cross_attention_mask"]
    assert [int(v) for v in longer.flatten(1).sum(1)] == [0, 8] and longer.shape == (2, 6, 1, 2)
    batch = pad_batch([row(2), pictured(4, 1, 2), pictured(3, 2, 1)], 0)
    assert batch["pixel_values"].shape == (3, 2, 2, 3, 2, 2)
    assert [int(v) for v in batch["pixel_values"].flatten(1).sum(1)] == [0, 24, 24]
    assert batch["aspect_ratio_ids"].tolist() == [[0, 0], [1, 0], [1, 1]]
    assert batch["cross_attention_mask"].shape == (3, 4, 2, 2)
    assert [int(v) for v in batch["cross_attention_mask"].flatten(1).sum(1)] == [0, 8, 6]


def test_patches_with_a_mask_are_not_taken_for_images_per_row() -> None:
    """LFM2-VL: [images, patches, …] with a mask [images, patches]; a row of text adds none."""
    pictured = row(2, pixel_values=torch.ones(1, 4, 6), pixel_attention_mask=torch.ones(1, 4))
    batch = pad_batch([row(3), pictured], 0)
    assert batch["pixel_values"].shape == (1, 4, 6)
    assert batch["pixel_attention_mask"].shape == (1, 4)


def test_slices_are_joined_along_their_last_dimension_whatever_row_comes_first() -> None:
    """MiniCPM-V: [1, 3, side, patches x side] beside the grids of the slices."""
    pictured = row(2, pixel_values=torch.ones(1, 3, 2, 8), target_sizes=torch.tensor([[2, 2]]))
    batch = pad_batch([row(1), pictured, pictured], 0)
    assert batch["pixel_values"].shape == (1, 3, 2, 16)
    assert batch["target_sizes"].shape == (2, 2)


# -- videos -----------------------------------------------------------------------------------------------------
def decoded(count: int, rate: float) -> list:
    """Frames as PyAV decodes them: a time in seconds and a picture, here of one pixel that counts."""
    return [
        SimpleNamespace(time=n / rate, to_ndarray=lambda format, n=n: np.full((1, 1, 3), n % 256)) for n in range(count)
    ]


def test_a_video_is_read_at_two_frames_a_second() -> None:
    frames, rate = _sampled(decoded(100, rate=25.0))
    assert (len(frames), rate) == (8, FRAME_RATE)
    assert [int(f[0, 0, 0]) for f in frames] == [0, 13, 25, 38, 50, 63, 75, 88]


def test_a_slow_video_keeps_every_frame() -> None:
    frames, _ = _sampled(decoded(5, rate=1.0))
    assert len(frames) == 5


@pytest.mark.parametrize("seconds", [10, 60, 1000])
def test_a_long_video_is_read_at_a_lower_rate_from_beginning_to_end(seconds: int) -> None:
    frames, rate = _sampled(decoded(seconds * 4, rate=4.0), most=16)
    assert 8 <= len(frames) <= 16
    assert len(frames) == pytest.approx(seconds * rate, abs=1)


def test_frames_given_by_themselves_stay_as_they_are() -> None:
    given = Row([], videos=[np.zeros((3, 2, 2, 3), dtype=np.uint8)])
    assert open_media(given)["video"][0].shape == (3, 2, 2, 3)
    assert given.video_rates == [FRAME_RATE]


def test_a_video_file_that_cannot_be_read_is_named(tmp_path) -> None:
    file = tmp_path / "none.mp4"
    file.write_bytes(b"no video")
    with pytest.raises(SwiftError, match=r"line 3, video 1: (reading video files needs PyAV|.*is not a video)"):
        open_media(Row([], videos=[str(file)], where="line 3"))
