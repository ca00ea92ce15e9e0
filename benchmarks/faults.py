"""What the soak lets happen in a series: nothing, disorder, deaths, a disk that fails."""

import errno
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chain import Chain
from shim import Kind, Mode

__all__ = ["FAULTS", "Fault"]

_LONGEST_PAUSE_S = 2.0
_HANG_S = 3.0


@dataclass(frozen=True)
class Fault:
    """`act` is done at a random moment; `message`: what the detector does to one of its messages instead.

    `lossless`: the series must be complete all the same; `needs_strike`: it must be if the fault came too late.
    """

    name: str
    lossless: bool
    act: Callable[[Chain, random.Random], None] | None = None
    message: str = ""

    @property
    def needs_strike(self) -> bool:
        """Whether it does something at a moment, and not to a message."""
        return self.act is not None

    def in_stream(self, frames: int, chance: random.Random) -> list[dict[str, Any]]:
        """The detector's settings for it."""
        if not self.message:
            return []
        return [{"kind": self.message, "frame": chance.randrange(frames), "seconds": 0.3} for _ in range(3)]

    def strike(self, chain: Chain, name: str, chance: random.Random) -> bool:
        """Waits a moment and acts; whether the series was still running."""
        if self.act is None:
            return False
        time.sleep(chance.uniform(0, _LONGEST_PAUSE_S))
        if not chain.sending() and not chain.is_open(name):
            return False
        self.act(chain, chance)
        return True


def _kill_writer(chain: Chain, _chance: random.Random) -> None:
    chain.kill_writer()


def _kill_writers(chain: Chain, chance: random.Random) -> None:
    for _ in range(3):
        if (dead := chain.kill_writer()) is not None:
            chain.back(dead)
        time.sleep(chance.uniform(0, 1))


def _kill_recorder(chain: Chain, _chance: random.Random) -> None:
    chain.kill_recorder()


def _stop_recorder(chain: Chain, _chance: random.Random) -> None:
    chain.stop_recorder()


def _kill_acquirer(chain: Chain, _chance: random.Random) -> None:
    chain.kill_acquirer()


def _fail(error: int, *, for_ever: bool) -> Callable[[Chain, random.Random], None]:
    def act(chain: Chain, chance: random.Random) -> None:
        assert chain.page is not None
        kinds = Kind.WRITE | Kind.ALLOCATE
        chain.page.arm(
            Mode.FAIL, chain.data, chance.randint(1, 50), kinds=kinds, error=error, for_ever=for_ever, named=".h5"
        )

    return act


def _hang(chain: Chain, chance: random.Random) -> None:
    assert chain.page is not None
    chain.page.arm(Mode.HANG, chain.data, chance.randint(1, 20), kinds=Kind.WRITE, hang_s=_HANG_S, named=".h5")


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("nothing", lossless=True),
        Fault("duplicate", lossless=True, message="duplicate"),
        Fault("reorder", lossless=True, message="reorder"),
        Fault("delay", lossless=True, message="delay"),
        Fault("lose", lossless=False, message="drop"),
        Fault("kill writer", lossless=True, act=_kill_writer),
        Fault("kill writers", lossless=True, act=_kill_writers),
        Fault("kill recorder", lossless=True, act=_kill_recorder),
        Fault("stop recorder", lossless=True, act=_stop_recorder),
        Fault("kill acquirer", lossless=False, act=_kill_acquirer),
        Fault("disk fails once", lossless=False, act=_fail(errno.EIO, for_ever=False)),
        Fault("disk is full", lossless=False, act=_fail(errno.ENOSPC, for_ever=True)),
        Fault("disk hangs", lossless=True, act=_hang),
    )
}
