"""Runs jobs of kill_driver.py, each in a process of its own that has the shim."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from kill_driver import Job, Point
from shim import FaultPage

__all__ = ["kill", "kill_all"]

_DRIVER = Path(__file__).parent / "kill_driver.py"


def kill(job: Job, folder: Path, shim: Path) -> list[Point]:
    """What was found after each kill of this job; `folder` is new, and there is nothing else in it."""
    folder.mkdir()
    page = FaultPage(folder / "page")
    try:
        done = subprocess.run(
            [sys.executable, str(_DRIVER), str(folder)],
            input=msgspec.json.encode(job) + b"\n",
            stdout=subprocess.PIPE,
            env=page.environment(shim),
            check=True,
        )
    finally:
        page.close()
    return [msgspec.json.decode(line, type=Point) for line in done.stdout.splitlines() if line]


def kill_all(jobs: Iterable[Job], folder: Path, shim: Path, workers: int) -> Iterator[tuple[Job, list[Point]]]:
    """The same for many, `workers` at a time, in their order."""
    work = [(job, folder / f"job{index}") for index, job in enumerate(jobs)]
    with ThreadPoolExecutor(workers) as pool:
        done = pool.map(lambda item: kill(item[0], item[1], shim), work)
        yield from zip((job for job, _ in work), done, strict=True)
