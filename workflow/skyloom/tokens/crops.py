"""The part of an image that a network sees. Light to import: networks crop too."""

from skyloom.core.errors import BadConfig


def centre_crop(images, size: int, setting: str = "crop"):
    """The central `size` x `size` pixels of (..., H, W), array or tensor.

    Exactly centred when H - size is even; when it is odd there is no such crop and the one half a pixel towards the
    origin is taken.

    Raises
    ------
    BadConfig : the images are smaller than `size`, which is called `setting`.
    """
    height, width = images.shape[-2:]
    if size > min(height, width):
        raise BadConfig(f"{setting}: {size} pixels is more than the {height} x {width} of the cutouts")
    top, left = (height - size) // 2, (width - size) // 2
    return images[..., top : top + size, left : left + size]
