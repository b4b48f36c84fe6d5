"""Opening images, videos and audio of a row. Pillow is imported only when there is an image."""

from __future__ import annotations

import base64
import io
import os
import re
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row

BROKEN = (OSError, ValueError, TypeError, AttributeError, SyntaxError, EOFError, IndexError, KeyError, struct.error)
"""What Pillow raises on a file that is damaged or no image at all."""

OBJECT = re.compile(r" <_io\.\w+ object at 0x[0-9a-f]+>")
"""How Pillow calls a file in memory."""

FRAME_RATE = 2.0
"""Frames per second that are read of a video file, and that frames given by themselves are taken to have."""

MOST_FRAMES = 768
"""A video with more frames is read at half the rate, or half of that, and so on."""


def open_media(row: Row, max_pixels: int | None = None, rate: int | None = None) -> dict[str, list[Any]]:
    """The row's media opened, by modality; fills `row.image_sizes` with the original sizes and `row.video_rates`.

    Images become RGB PIL images, shrunk to at most `max_pixels`; arrays (video frames, audio samples) pass
    through; video files become frames, audio files mono float arrays of `rate` samples per second. SwiftError names
    row and file.
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
        opened["audio"] = [open_audio(item, f"{row.where}, audio {n}", rate) for n, item in enumerate(row.audios, 1)]
    return opened


def open_image(item: Any, where: str) -> Any:
    """A PIL image in RGB from a path, bytes, a data URI, an array or a PIL image, as `pictures.in_rgb` makes it.

    Raises SwiftError, which begins with `where`, for a file that is missing or is not an image.
    """
    from PIL import Image, ImageOps

    from swift_core.data.pictures import from_array, in_rgb

    try:
        if isinstance(item, Image.Image):
            return in_rgb(item)
        if isinstance(item, str | Path | bytes):
            return in_rgb(ImageOps.exif_transpose(Image.open(_stream(item))))  # upright, as transformers and vLLM do
        return in_rgb(from_array(item))
    except FileNotFoundError:
        raise _not_there(item, where) from None
    except (Image.DecompressionBombError, *BROKEN) as error:
        raise SwiftError(
            f"{where}: {_shown(item)} is not an image that Pillow can read ({OBJECT.sub('', str(error))[:200]})."
        ) from None


def _not_there(item: Any, where: str) -> SwiftError:
    name = repr(str(item)) if len(str(item)) < 120 else _shown(item)
    return SwiftError(f"{where}: the file {name} does not exist. Say where files are with --media_root.")


def _shown(item: Any) -> str:
    """A medium in an error: its path or address, cut, or what it is."""
    if not isinstance(item, str | Path):
        return type(item).__name__
    text = str(item)
    if len(text) > 200 and not text.startswith(("data:", "http")):
        return f"{text[:40]!r} … (for base64, write data:image/png;base64,… with the right kind)"
    return text if len(text) < 120 else f"{text[:117]}…"


def _stream(item: str | Path | bytes) -> Any:
    """What the libraries open: bytes, data URIs and web addresses in memory, a path as it is."""
    if isinstance(item, bytes):
        return io.BytesIO(item)
    text = str(item)
    if text.startswith("data:"):
        return io.BytesIO(base64.b64decode(text.partition(",")[2]))
    if text.startswith(("http://", "https://")):
        import urllib.request

        with urllib.request.urlopen(text, timeout=30) as answer:
            return io.BytesIO(answer.read())
    if not os.path.exists(text):
        raise FileNotFoundError(text)
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

    item: a list of image files, an array, or a video as file, bytes or address, which is read at `FRAME_RATE`.
    Raises SwiftError, which begins with `where`, for a file that is not a video, and where PyAV is missing.
    """
    import numpy as np

    if isinstance(item, list):
        return _stacked([np.asarray(open_image(frame, where)) for frame in item], where), FRAME_RATE
    if not isinstance(item, str | Path | bytes):
        return _frames(np.asarray(item), where), FRAME_RATE
    try:
        import av
    except ImportError:
        raise SwiftError(f"{where}: reading video files needs PyAV: pip install av") from None
    try:
        with av.open(_stream(item)) as container:
            frames, rate = _sampled(container.decode(video=0))
    except FileNotFoundError:
        raise _not_there(item, where) from None
    except (*BROKEN, MemoryError) as error:
        raise SwiftError(f"{where}: {_shown(item)} is not a video that can be read ({str(error)[:200]}).") from None
    return _stacked(frames, where), rate


def _stacked(frames: list[Any], where: str) -> Any:
    import numpy as np

    sizes = {frame.shape for frame in frames}
    if len(sizes) != 1:
        raise SwiftError(
            f"{where}: " + (f"frames of several sizes: {sorted(sizes)}." if sizes else "it holds no frames.")
        )
    return np.stack(frames)


def _frames(array: Any, where: str) -> Any:
    if array.ndim != 4 or array.shape[-1] != 3:
        raise SwiftError(f"{where}: frames are an array [frames, height, width, 3], found {array.shape}.")
    return array


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


def open_audio(item: Any, where: str, rate: int | None = None) -> Any:
    """Mono samples as a float array, from a file, bytes or address that soundfile reads, or an array.

    rate: samples per second that the model's processor takes; what has another rate is resampled. An array by
    itself is taken to have it; `{"array": samples, "sampling_rate": rate}` says its own.
    Raises SwiftError, which begins with `where`, for a file that is not audio, and where soundfile is missing.
    """
    import numpy as np

    if isinstance(item, dict):
        return _at_rate(_samples(item.get("array"), where), item["sampling_rate"], rate)
    if not isinstance(item, str | Path | bytes):
        return _samples(item, where)
    try:
        import soundfile
    except ImportError:
        raise SwiftError(f"{where}: reading audio files needs soundfile: pip install soundfile") from None
    try:
        samples, own = soundfile.read(_stream(item), dtype="float32", always_2d=True)
    except FileNotFoundError:
        raise _not_there(item, where) from None
    except (*BROKEN, RuntimeError) as error:
        raise SwiftError(f"{where}: {_shown(item)} is not audio that can be read ({str(error)[:200]}).") from None
    return _at_rate(_samples(samples, where), own, rate).astype(np.float32)


def _samples(value: Any, where: str) -> Any:
    """Samples [time] or [time, channels] as mono; SwiftError where they are no numbers, or none at all."""
    import numpy as np

    try:
        samples = np.asarray(value, dtype=np.float32)
    except BROKEN:
        raise SwiftError(f"{where}: samples are numbers, found {type(value).__name__}.") from None
    if samples.ndim not in (1, 2) or not samples.size or not np.isfinite(samples).all():
        raise SwiftError(f"{where}: samples are finite numbers [time] or [time, channels], found {samples.shape}.")
    return samples if samples.ndim == 1 else samples.mean(axis=1)


def _at_rate(samples: Any, own: int, rate: int | None) -> Any:
    """Samples of a rate as those of another, by cutting or padding their spectrum (ideal band-limited resampling)."""
    import numpy as np

    if not rate or own == rate:
        return samples
    count = max(1, round(len(samples) * rate / own))
    spectrum = np.fft.rfft(samples)
    kept = np.zeros(count // 2 + 1, dtype=spectrum.dtype)
    shared = min(len(kept), len(spectrum))
    kept[:shared] = spectrum[:shared]
    return (np.fft.irfft(kept, count) * (count / len(samples))).astype(np.float32)
