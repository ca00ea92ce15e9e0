"""A frame as a picture that a person would look at: counts on a logarithmic scale, marked pixels left blank."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

__all__ = ["save_picture"]

_DPI = 110


def save_picture(frame: Any, path: Path, title: str) -> None:
    """Saves a frame (of two dimensions, or a stack of modules) as PNG.

    Pixels at the largest value of an unsigned type are what vendors mark as invalid: they stay blank.
    """
    image = np.asarray(frame)
    marked = image == np.iinfo(image.dtype).max if image.dtype.kind == "u" else ~np.isfinite(image)
    counts = np.where(marked, np.nan, image.astype(float))
    counts = counts.reshape(-1, counts.shape[-1])  # modules one below the other
    highest = max(2.0, float(np.nanmax(counts, initial=2.0)))
    figure = Figure(figsize=(7, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    drawn = axes.imshow(np.maximum(counts, 0.5), norm=LogNorm(0.5, highest), cmap="inferno", interpolation="nearest")
    axes.set(title=title, xlabel="column (pixel)", ylabel="row (pixel)")
    figure.colorbar(drawn, ax=axes, label="counts")
    figure.savefig(path, dpi=_DPI)
