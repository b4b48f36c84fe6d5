"""Opening images, videos and audio of a row. Pillow is imported only when there is an image."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row

BROKEN = (OSError, ValueError, TypeError, AttributeError, SyntaxError, EOFError, IndexError, KeyError, struct.error)
"""What Pillow raises on a file that is damaged or no image at all."""

FRAME_RATE = 2.0
"""Frames per second that are read of a video file, and that frames given by themselves are taken to have."""

MOST_FRAMES = 768
"""A video with more frames is read at half the rate, or half of that, and so on."""


def open_media(row: Row, max_pixels: int | None = None) -> dict[str, list[Any]]:
    """The row's media opened, by modality; fills `row.image_sizes` with the original sizes and `row.video_rates`.

    Images become RGB PIL images, shrunk to at most `max_pixels`; arrays (video frames, audio samples) pass
    through; video files become frames, audio files are read as mono float arrays. SwiftError names row and file.
    """
    opened: dict[str, list[Any]] = {}
    if row.images:
        images = [open_image(item, f"{row.where}, image {n}") for n, item in enumerate(row.images, 1)]
        row.image_sizes = [image.size for image in images]
        opened["image"] = [_shrunk(image, max_pixels) for image in images]
    if row.videos:
        videos = [open_video(item, f"{row.where}, video {n}") for n, item in enumerate(row.videos, 1)]
        opened["video"], row.video_rates = [frames for frames, _ in videos], [rate for _, rate in videos]
    if row.audios:
        opened["audio"] = [open_audio(item, f"{row.where}, audio {n}") for n, item in enumerate(row.audios, 1)]
    return opened


def open_image(item: Any, where: str) -> Any:
    """A PIL image in RGB from a path, bytes, a data URI, an array or a PIL image.

    Raises SwiftError, which begins with `where`, for a file that is missing or is not an image.
    """
    from PIL import Image, ImageOps

    try:
        if isinstance(item, Image.Image):
            return item.convert("RGB")
        if isinstance(item, str | Path | bytes):
            upright = ImageOps.exif_transpose(Image.open(_stream(item)))  # as transformers and vLLM do
            return upright.convert("RGB")
        return Image.fromarray(item).convert("RGB")
    except FileNotFoundError:
        raise SwiftError(f"{where}: the file {str(item)!r} does not exist.") from None
    except (Image.DecompressionBombError, *BROKEN) as error:
        shown = item if isinstance(item, str) and len(item) < 120 else type(item).__name__
        raise SwiftError(f"{where}: {shown} is not an image that Pillow can read ({error}).") from None


def _stream(item: str | Path | bytes) -> Any:
    if isinstance(item, bytes):
        return io.BytesIO(item)
    text = str(item)
    if text.startswith("data:"):
        return io.BytesIO(base64.b64decode(text.partition(",")[2]))
    if text.startswith(("http://", "https://")):
        import urllib.request

        with urllib.request.urlopen(text, timeout=30) as answer:
            return io.BytesIO(answer.read())
    return text


def shrunk_size(width: int, height: int, max_pixels: int | None) -> tuple[int, int]:
    """(width, height) of an image after --max_pixels: the same shape, at most so many pixels."""
    if not max_pixels or width * height <= max_pixels:
        return width, height
    scale = (max_pixels / (width * height)) ** 0.5
    return max(1, int(width * scale)), max(1, int(height * scale))


def _shrunk(image: Any, max_pixels: int | None) -> Any:
    size = shrunk_size(image.width, image.height, max_pixels)
    return image if size == image.size else image.resize(size)


def open_video(item: Any, where: str) -> tuple[Any, float]:
    """Frames as an array [frames, height, width, 3] and how many there are per second.

    item: a list of image files, an array or a video file, which is read at `FRAME_RATE`.
    Raises SwiftError, which begins with `where`, for a file that is not a video, and where PyAV is missing.
    """
    import numpy as np

    if isinstance(item, list):
        return np.stack([np.asarray(open_image(frame, where)) for frame in item]), FRAME_RATE
    if not isinstance(item, str | Path):
        return np.asarray(item), FRAME_RATE
    try:
        import av
    except ImportError:
        raise SwiftError(f"{where}: reading video files needs PyAV: pip install av") from None
    try:
        with av.open(str(item)) as container:
            frames, rate = _sampled(container.decode(video=0))
    except (OSError, ValueError) as error:
        raise SwiftError(f"{where}: {item} is not a video that can be read ({error}).") from None
    if not frames:
        raise SwiftError(f"{where}: {item} holds no frames.")
    return np.stack(frames), rate


def _sampled(decoded: Iterable[Any], most: int = MOST_FRAMES) -> tuple[list[Any], float]:
    """Every frame that is due, as an array, and their rate; whenever there are too many, every second one stays."""
    kept: list[Any] = []
    step = 1 / FRAME_RATE
    for frame in decoded:
        if (frame.time or 0.0) >= len(kept) * step - 1e-6:
            kept.append(frame.to_ndarray(format="rgb24"))
        if len(kept) > most:
            kept, step = kept[::2], step * 2
    return kept, 1 / step


def open_audio(item: Any, where: str) -> Any:
    """Mono samples as a float array, from an array or a file that soundfile reads.

    Raises SwiftError, which begins with `where`, for a file that is not audio, and where soundfile is missing.
    """
    import numpy as np

    if not isinstance(item, str | Path):
        return np.asarray(item, dtype=np.float32)
    try:
        import soundfile
    except ImportError:
        raise SwiftError(f"{where}: reading audio files needs soundfile: pip install soundfile") from None
    try:
        samples, _ = soundfile.read(str(item), dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise SwiftError(f"{where}: {item} is not audio that can be read ({error}).") from None
    return samples.mean(axis=1)
