"""What stands around the frames of a file: NeXus base classes, and NXmx where the geometry is known."""

from .entry import add_default_plot, build_tree, now_iso, plot_frames
from .places import DATA, DETECTOR, ENTRY, SERIES

__all__ = ["DATA", "DETECTOR", "ENTRY", "SERIES", "add_default_plot", "build_tree", "now_iso", "plot_frames"]
