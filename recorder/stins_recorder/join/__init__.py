"""The parts of a shared series, one from each recorder, as one file.

`run_join` needs no HDF5: the work is done in a process of its own, by `join_parts` of `master`.
"""

from .process import run_join, run_join_by_hand, run_show

__all__ = ["run_join", "run_join_by_hand", "run_show"]
