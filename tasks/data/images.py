"""Fitting of images to the input shape of a task."""

from __future__ import annotations

import math

import numpy as np

from crossframe.tasks.spec import Shape

# The luminance of red, green and blue: ITU-R recommendation BT.601-7, section 2.5.1.
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)

CHUNK = 1000  # number of images that are converted to float32 at a time, to save memory


def fit(images: np.ndarray, shape: Shape) -> np.ndarray:
    """Return images of another shape: (n, channels, height, width) -> (n, *shape) float32; values keep their range."""
    channels, height, width = canvas(shape)
    if not {images.shape[1], channels} <= {1, 3}:
        raise ValueError(f"images have 1 or 3 channels, not {images.shape[1]} or {channels}")
    fitted = np.empty((len(images), channels, height, width), np.float32)
    for start in range(0, len(images), CHUNK):
        part = images[start : start + CHUNK].astype(np.float32)
        if channels < part.shape[1]:
            part = np.einsum("nchw,c->nhw", part, LUMINANCE)[:, np.newaxis]
        # If the task has more channels, resize broadcasts the grey image to each.
        fitted[start : start + CHUNK] = resize(part, height, width)
    return fitted.reshape(len(images), *shape)


def canvas(shape: Shape) -> Shape:
    """Return the (channels, height, width) of images for a task with inputs of `shape`.

    Inputs with three axes are images; two axes are the rows of a grey image, one row per step; one axis is a square
    grey image. ValueError if the number of pixels is not a square.
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
    """Return images of another size, cropped if they are large enough, else interpolated bilinearly.

    (n, channels, h, w) -> (n, channels, height, width). Cropping keeps pixels sharp and loses nothing of MNIST, whose
    digits lie in the inner 20 x 20 of 28 x 28.
    """
    h, w = images.shape[2:]
    if h >= height and w >= width:
        top, left = (h - height) // 2, (w - width) // 2
        return images[:, :, top : top + height, left : left + width]
    return np.asarray(bilinear(h, height) @ images @ bilinear(w, width).T)


def bilinear(size: int, new_size: int) -> np.ndarray:
    """Return the matrix that resamples `size` pixels to `new_size` pixels of the same total length.

    (new_size, size) float32. Equal to scipy.ndimage.zoom(order=1, grid_mode=True, mode="nearest").
    """
    centres = (np.arange(new_size) + 0.5) * size / new_size - 0.5
    weights = [np.interp(centres, np.arange(size), pixel) for pixel in np.eye(size)]
    return np.array(weights, np.float32).T
