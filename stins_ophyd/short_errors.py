"""An extension of IPython: what fails a plan, or is refused, takes a line. `%load_ext stins_ophyd.short_errors`.

The text of these errors says all: process, device, step and remedy. Two tracebacks of 150 lines each, of the
RunEngine's log and of the prompt, would push it out of sight. `%tb` shows the whole of the last one.
"""

import logging
import sys
from types import TracebackType
from typing import Final

from bluesky.utils import FailedPause, FailedStatus
from IPython.core.interactiveshell import InteractiveShell

from stins import StinsError

__all__ = ["load_ipython_extension", "unload_ipython_extension"]

#: Errors that name what failed, where, and what to do.
_SPEAKING: Final = (StinsError, FailedStatus)
_ENGINE: Final = logging.getLogger("bluesky")


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%load_ext`."""
    shell.set_custom_exc(_SPEAKING, _show)
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
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, trace
    lines: list[str] = shell.InteractiveTB.get_exception_only(kind, error)
    shell._showtraceback(kind, error, lines)  # a notebook sends it, a terminal prints it
    return lines


def _without_traceback(record: logging.LogRecord) -> bool:
    """The RunEngine's "Run aborted": the prompt shows the error too, unless the run ended by a pause."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, (*_SPEAKING, FailedPause)):
        record.exc_info = None
        if isinstance(error, FailedPause) and str(error):
            record.msg, record.args = "%s: %s", (record.getMessage(), error)
    return True
