"""The supervisor's end of a writer process: it is never what hangs."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from stins_recorder.supervisor.writer_process import WriterProcess

#: While it is traced, a process that has ended is told to the one that traces it, and only then to its parent.
_TRACE = """
import ctypes, sys
libc = ctypes.CDLL(None)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
print(libc.ptrace(0x4206, int(sys.argv[1]), None, None), flush=True)
sys.stdin.read()
"""


@contextmanager
def traced(pid: int) -> Iterator[None]:
    command = [sys.executable, "-c", _TRACE, str(pid)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tracer:
        assert tracer.stdin is not None
        assert tracer.stdout is not None
        if int(tracer.stdout.readline()):
            tracer.communicate()
            pytest.skip("no process may be traced here")
        yield
        tracer.communicate()


def test_a_writer_that_not_even_a_kill_ends_is_not_waited_for_and_named() -> None:
    writer = WriterProcess()
    with traced(writer.pid):
        assert writer.end(0.5) == "not at all, not even killed: it hangs in the kernel"
    assert writer._process.wait(30) is not None


def test_a_process_that_cannot_be_started_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = psutil.Process().num_fds()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            WriterProcess()
    assert psutil.Process().num_fds() == before
