"""Pictures that a person would look at: a frame with its counts on a logarithmic scale, the counts over a scan."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

__all__ = ["draw_counts", "draw_frame", "picture_of", "save_picture"]

_DPI = 110
#: So many per cent of the pixels may be darker than the scale's lower end.
_DARK = 2


def draw_frame(axes: Any, frame: Any, title: str = "") -> None:
    """Draws a frame (of two dimensions, or a stack of modules) into matplotlib's axes, with a scale beside it.

    Pixels at the largest value of an unsigned type are what vendors mark as invalid: they stay blank.
    """
    image = np.asarray(frame)
    marked = image == np.iinfo(image.dtype).max if image.dtype.kind == "u" else ~np.isfinite(image)
    counts = np.where(marked, np.nan, image.astype(float))
    counts = counts.reshape(-1, counts.shape[-1])  # modules one below the other
    highest = max(2.0, float(np.nanmax(counts, initial=2.0)))
    # Half of what all but some pixels have: a beam stop must not take the colours from everything else.
    lowest = max(0.5, float(np.nanpercentile(counts, _DARK)) / 2) if not marked.all() else 0.5
    lowest = min(lowest, highest / 2)
    drawn = axes.imshow(
        np.maximum(counts, lowest), norm=LogNorm(lowest, highest), cmap="inferno", interpolation="nearest"
    )
    axes.set(title=title, xlabel="column (pixel)", ylabel="row (pixel)")
    axes.figure.colorbar(drawn, ax=axes, label="counts")


def draw_counts(axes: Any, x: Sequence[float] | Any, counts: Any, *, label: str = "", title: str = "") -> None:
    """Draws the counts of each point of a scan, over `x`, with their counting errors; `label` says what x is."""
    counts = np.asarray(counts, dtype=float)
    axes.errorbar(x, counts, yerr=np.sqrt(np.maximum(counts, 0)), fmt="o-", markersize=4, capsize=2)
    axes.set(title=title, xlabel=label, ylabel="counts")
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 5))
    axes.grid(alpha=0.3)


def picture_of(frame: Any, title: str) -> bytes:
    """A frame as PNG."""
    figure = Figure(figsize=(7, 6), layout="constrained")
    FigureCanvasAgg(figure)
    draw_frame(figure.add_subplot(), frame, title)
    png = io.BytesIO()
    figure.savefig(png, dpi=_DPI)
    return png.getvalue()


def save_picture(frame: Any, path: Path, title: str) -> None:
    """Saves a frame as PNG."""
    path.write_bytes(picture_of(frame, title))
