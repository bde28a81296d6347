"""Images of any source, fitted to the input of any task."""

from __future__ import annotations

import math

import numpy as np

from crossframe.tasks.spec import Shape

# The luminance of red, green and blue: ITU-R recommendation BT.601-7, section 2.5.1.
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)

CHUNK = 1000  # images that are float32 in the source's size at one time


def fit(images: np.ndarray, shape: Shape) -> np.ndarray:
    """(n, channels, height, width) -> (n, *shape) float32, the values' scale unchanged."""
    channels, height, width = canvas(shape)
    if not {images.shape[1], channels} <= {1, 3}:
        raise ValueError(f"images have 1 or 3 channels, not {images.shape[1]} or {channels}")
    fitted = np.empty((len(images), channels, height, width), np.float32)
    for start in range(0, len(images), CHUNK):
        part = images[start : start + CHUNK].astype(np.float32)
        if channels < part.shape[1]:
            part = np.einsum("nchw,c->nhw", part, LUMINANCE)[:, np.newaxis]
        # Where the task wants more channels, each gets the one grey image.
        fitted[start : start + CHUNK] = resize(part, height, width)
    return fitted.reshape(len(images), *shape)


def canvas(shape: Shape) -> Shape:
    """The (channels, height, width) of the image that a task's input is.

    Three axes are that; two are the rows of a grey image, a row a step; one is a grey square.
    """
    if len(shape) == 3:
        return shape
    if len(shape) == 2:
        return (1, *shape)
    side = math.isqrt(shape[0])
    if side**2 != shape[0]:
        raise ValueError(f"no square image has {shape[0]} pixels")
    return (1, side, side)


def resize(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """(n, channels, h, w) -> (n, channels, height, width): the middle, where both sides are long enough; else bilinear.

    Cropping keeps the pixels sharp, and all that is drawn: MNIST's digits lie in the inner 20 x 20 of 28 x 28.
    """
    h, w = images.shape[2:]
    if h >= height and w >= width:
        top, left = (h - height) // 2, (w - width) // 2
        return images[:, :, top : top + height, left : left + width]
    return bilinear(h, height) @ images @ bilinear(w, width).T


def bilinear(size: int, wanted: int) -> np.ndarray:
    """(wanted, size) float32: the weights of `size` pixels in each of `wanted`, which cover the same length.

    As scipy.ndimage.zoom(order=1, grid_mode=True, mode="nearest") would do it, an image at a time.
    """
    centres = (np.arange(wanted) + 0.5) * size / wanted - 0.5
    weights = [np.interp(centres, np.arange(size), pixel) for pixel in np.eye(size)]
    return np.array(weights, np.float32).T
