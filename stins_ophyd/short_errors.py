"""An extension of IPython: what fails a plan, or is refused, takes a line. `%load_ext stins_ophyd.short_errors`.

The text of these errors says all: process, device, step and remedy. Two tracebacks of 150 lines each, of the
RunEngine's log and of the prompt, would push it out of sight. `%tb` shows the whole of the last one.

So does a pause, an abort or a halt, which is no error at all; and what a library refuses that the line at the prompt
has called itself. What comes about in a plan or a function of the user's own has its traceback.
"""

import dis
import logging
import sys
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final

from bluesky import RunEngine
from bluesky.utils import (  # type: ignore[attr-defined]  # TransitionError's own place is private to bluesky
    FailedPause,
    FailedStatus,
    PlanHalt,
    RequestAbort,
    RunEngineInterrupted,
    TransitionError,
)
from IPython.core.interactiveshell import InteractiveShell

from stins import StinsError

__all__ = ["load_ipython_extension", "unload_ipython_extension"]

#: Errors that name what failed, where, and what to do.
_SPEAKING: Final = (StinsError, FailedStatus, RunEngineInterrupted, TransitionError)
#: What somebody asked for.
_WANTED: Final = (RequestAbort, PlanHalt)
#: Errors by which a library refuses something; others raise them too.
_REFUSING: Final = (TypeError, ValueError, LookupError)
#: Libraries whose refusals can be understood without their source; bluesky calls itself through opentelemetry.
_LIBRARIES: Final = frozenset(
    {"stins", "stins_ophyd", "bluesky", "bluesky_tiled_plugins", "opentelemetry", "ophyd", "tiled"}
)
_ENDED: Final = "the plan has ended. Nothing is paused, and there is nothing to resume: RE.state is 'idle'"
_ENGINE: Final = logging.getLogger("bluesky")


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%load_ext`."""
    shell.set_custom_exc((*_SPEAKING, *_REFUSING), _show)
    _ENGINE.addFilter(_without_traceback)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%unload_ext`: errors are as long as before."""
    shell.set_custom_exc((), None)
    _ENGINE.removeFilter(_without_traceback)


def _show(
    shell: InteractiveShell,
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType,
    **_: object,
) -> list[str]:
    """What IPython calls instead of showing a traceback; it keeps the error for `%tb`, as IPython does."""
    if not isinstance(error, _SPEAKING) and not _is_refused(_typed(trace)):
        shell.showtraceback((kind, error, trace), running_compiled_code=True)
        return []
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, trace
    told = RunEngineInterrupted(_ENDED) if isinstance(error, RunEngineInterrupted) and _ended(trace) else error
    lines: list[str] = shell.InteractiveTB.get_exception_only(kind, told)
    shell._showtraceback(kind, told, lines)  # a notebook sends it, a terminal prints it
    return lines


def _typed(trace: TracebackType) -> list[TracebackType]:
    """What the line at the prompt has called; without that line, and what of IPython is above it."""
    steps = list(_steps(trace))
    lines = [number for number, step in enumerate(steps) if _module(step) == "__main__"]
    return steps[lines[0] + 1 :] if lines else []


def _is_refused(steps: Sequence[TracebackType]) -> bool:
    """Whether one of the libraries has raised it on purpose, and nobody else's code is in between."""
    packages = {_module(step).partition(".")[0] for step in steps}
    return bool(steps) and packages <= _LIBRARIES and _is_raised_in(steps[-1])


def _is_raised_in(step: TracebackType) -> bool:
    """By a `raise`; what only comes about, such as None + 1, has to be looked for where it does."""
    return dis.opname[step.tb_frame.f_code.co_code[step.tb_lasti]] == "RAISE_VARARGS"


def _ended(trace: TracebackType) -> bool:
    """Whether the RunEngine that says that it is paused has ended its plan: what cannot be rewound is not paused."""
    callers = (step.tb_frame.f_locals.get("self") for step in _steps(trace))
    return any(caller.state == "idle" for caller in callers if isinstance(caller, RunEngine))


def _module(step: TracebackType) -> str:
    return str(step.tb_frame.f_globals.get("__name__", ""))


def _steps(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _without_traceback(record: logging.LogRecord) -> bool:
    """The RunEngine's "Run aborted": the prompt shows the error too, unless the run ended by a pause, or on request."""
    error = record.exc_info[1] if record.exc_info else None
    refused = isinstance(error, _REFUSING) and _is_refused(list(_steps(error.__traceback__)))
    if refused or isinstance(error, (*_SPEAKING, *_WANTED, FailedPause)):
        record.exc_info = None
        if isinstance(error, FailedPause) and str(error):
            record.msg, record.args = "%s: %s", (record.getMessage(), error)
    return True
