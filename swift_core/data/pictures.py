"""Pictures of any mode as 8-bit RGB: transparency on white, greys of 16 bits and floats scaled to what they show."""

from __future__ import annotations

from typing import Any

SEE_THROUGH = ("RGBA", "LA", "PA", "RGBa", "La")
"""Pillow's modes with transparency."""


def in_rgb(image: Any) -> Any:
    """A PIL image in RGB. What is transparent becomes white, as pages are; 16-bit and float greys keep their range."""
    from PIL import Image

    if image.mode in ("F", "I") or image.mode.startswith("I;"):
        image = from_array(_values(image), sixteen=image.mode.startswith("I;"))
    if image.mode not in SEE_THROUGH and "transparency" not in image.info:
        return image.convert("RGB")
    image = image.convert("RGBA")
    ground = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(ground, image).convert("RGB")


def _values(image: Any) -> Any:
    import numpy as np

    return np.asarray(image)


def from_array(values: Any, sixteen: bool = False) -> Any:
    """A PIL image from an array [height, width] or [height, width, channels] of 8 bits, 16 bits, floats or booleans.

    The greatest value tells what stands for white: 1 for floats up to 1, 255, or 65535. ValueError where a value is
    negative or no number. sixteen: the values have 16 bits, whatever the greatest is.
    """
    import numpy as np
    from PIL import Image

    array = np.asarray(values)
    if array.dtype == np.uint8:
        return Image.fromarray(array)
    if array.dtype.kind not in "buif" or not array.size or not np.isfinite(array).all() or array.min() < 0:
        raise ValueError(f"pixels are finite numbers from 0 up, found an array of {array.dtype}")
    white = _white(array, sixteen or array.dtype == np.uint16)
    return Image.fromarray((array / white * 255).round().astype(np.uint8))


def _white(array: Any, sixteen: bool) -> float:
    greatest = float(array.max())
    if sixteen:
        return 65535.0
    if array.dtype.kind in "bf" and greatest <= 1:
        return 1.0
    return next((white for white in (255.0, 65535.0) if greatest <= white), greatest)
