"""The plans, by the names under which they are typed."""

# ruff: noqa: F401  # imported for whoever sits at the prompt
import bluesky.plan_stubs as bps
from bluesky.plans import count, grid_scan, rel_scan, scan

from stins_ophyd import fly_series
