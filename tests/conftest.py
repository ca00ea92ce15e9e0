"""What every test is held to: it leaves no thread, no child process and no listening socket behind."""

import gc
import os
import socket
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from hypothesis import settings
from zmq.utils.garbage import GarbageCollectorThread

from tests.sweeps import LONG

# Of the property tests, before any is read: a machine that is busy with something else is no failure.
settings.register_profile("stins", deadline=None)
settings.load_profile("stins")

CAPTURES = Path(__file__).parent.parent.parent / "shared" / "captures"

# Libraries keep these for the life of the process; they are nobody's leak.
# (and `_connection_worker_thread`: SQLite connections that an open catalogue takes as it needs them.)
_LASTING_THREADS = ("bluesky-run-engine", "AnyIO worker", "asyncio_", "ophyd", "pyzmq", "ThreadPoolExecutor", "tqdm")
_DEADLINE_S = 5.0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="full sweeps, and the slowest tests: some ten minutes more")


def pytest_configure(config: pytest.Config) -> None:
    """Test modules read it when they are imported, in the workers too."""
    if config.getoption("--long"):
        os.environ[LONG] = "1"
    cache = getattr(config, "cache", None)  # none with -p no:cacheprovider
    if sys.dont_write_bytecode and cache is not None:
        _keep_bytecode(cache.mkdir("bytecode"))


def _keep_bytecode(folder: Path) -> None:
    """For this process and all below it: of the time a process takes to start, half goes into compiling its modules.

    Where bytecode may not stand beside its source (PYTHONDONTWRITEBYTECODE), each of a thousand processes would do so.
    """
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(folder)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder)


#: Their files take up to a minute each: they come first, so that no worker has one of them alone at the end.
_LONGEST_FOLDERS = ("at_home", "cli", "docs", "faults", "stins_ophyd", "recorder")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes long and differs little from a test beside it waits for `--long`."""
    items.sort(key=_turn)
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="only with --long"))


def _turn(item: pytest.Item) -> int:
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    return _LONGEST_FOLDERS.index(folder) if folder in _LONGEST_FOLDERS else len(_LONGEST_FOLDERS)


def pytest_collection_finish() -> None:
    """What the imports made stays: without it the collection behind each test takes some ms, not 0.15 s."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def frozen() -> None:
    """What tests before this module have imported stays, too."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of captured detector streams."""
    if not CAPTURES.is_dir():
        pytest.skip("no captured streams here (../shared/captures is absent)")
    return CAPTURES


@pytest.fixture(autouse=True)
def leak_check() -> Iterator[None]:
    """Fails a test that leaves threads, child processes or listening sockets behind."""
    threads, children, sockets = set(threading.enumerate()), _children(), _listening()
    yield
    gc.collect()
    left: list[str] = []
    deadline = time.monotonic() + _DEADLINE_S
    for thread in set(threading.enumerate()) - threads:
        # pyzmq's collector of uncopied frames has no name and lives as long as the process.
        if not isinstance(thread, GarbageCollectorThread) and not _lasts(thread):
            thread.join(max(0.0, deadline - time.monotonic()))
            left += [f"thread {thread.name}"] if thread.is_alive() else []
    _gone, alive = psutil.wait_procs(_born_since(children), max(0.0, deadline - time.monotonic()))
    left += [f"process {process.pid} {' '.join(process.cmdline()[:4])}" for process in alive]
    # ZeroMQ closes its sockets in a thread of its own, a moment later.
    pause = threading.Event()
    while (listening := _listening() - sockets) and time.monotonic() < deadline:
        pause.wait(0.02)
    left += [f"listening socket {address}" for address in listening]
    for process in alive:
        process.kill()
    assert not left, f"left behind: {left}"


def _lasts(thread: threading.Thread) -> bool:
    """A pool that was there before takes further threads as it needs them; the first of one that is new is a leak."""
    grown = thread.name.startswith("recorders_") and not thread.name.endswith("_0")
    return grown or thread.name.startswith(_LASTING_THREADS) or "(_connection_worker_thread)" in thread.name


def _children() -> set[psutil.Process]:
    """All below this one, as the kernel lists them: psutil would look at every process of the machine."""
    if not any(Path("/proc/self/task").glob("*/children")):  # a kernel without such lists
        return set(psutil.Process().children(recursive=True))
    found, pids = set(), [os.getpid()]
    while pids:
        lists = Path(f"/proc/{pids.pop()}/task").glob("*/children")
        below = [int(pid) for path in lists for pid in _read(path).split()]
        pids += below
        for pid in below:
            with suppress(psutil.NoSuchProcess):
                found.add(psutil.Process(pid))
    return found


def _read(path: Path) -> str:
    """Nothing of a thread that has ended meanwhile: its children are another's then."""
    with suppress(OSError):
        return path.read_text()
    return ""


def _born_since(older: Collection[psutil.Process]) -> set[psutil.Process]:
    """Processes below this one that are not among the older ones nor below them: these may start some at any time."""
    born = _children() - older
    for process in older if born else ():
        with suppress(psutil.NoSuchProcess):
            born -= set(process.children(recursive=True))
    return born


def _listening() -> set[tuple[str, int]]:
    """Where this process listens, by its own descriptors: the system's table of connections takes ten times as long."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # another thread has closed it meanwhile
            if str(path.readlink()).startswith("socket:"):
                with own_socket(int(path.name)) as each:
                    inet = each.family in (socket.AF_INET, socket.AF_INET6)
                    if inet and each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        found.add(each.getsockname()[:2])
    return found


def own_socket(descriptor: int) -> socket.socket:
    """The socket behind a descriptor, to be closed without harm; raises `OSError` where it is none (any more)."""
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
