"""The plans, by the names under which they are typed, and under which they stand in a queue."""

# ruff: noqa: F401, F403, F405  # imported for whoever sits at the prompt
import bluesky.plan_stubs as bps
from bluesky.plan_stubs import mv
from bluesky.plans import count, grid_scan, list_scan, rel_scan, scan

from stins_ophyd import DetectorTrigger, TriggerInfo
from stins_ophyd.plans import *
from stins_ophyd.plans.stubs import fly_run

print(session, flush=True)
