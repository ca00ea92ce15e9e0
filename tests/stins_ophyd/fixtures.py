"""Real processes for the tests of the controller and its faces: a simulated detector and a recorder.

A plug-in and no conftest, so that the tests of several folders share one chain.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted
from ophyd.sim import SynAxis

from stins_ophyd import Controller, StaticPathProvider, StinsDetector
from tests.stins_ophyd.chain import PER_FILE, SETTINGS, Chain, Documents


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A chain that all tests share which leave it healthy."""
    chain = Chain(tmp_path_factory.mktemp("chain"))
    yield chain
    chain.stop()


@pytest.fixture(scope="session")
def shared_controller(chain: Chain) -> Iterator[Controller]:
    """One controller for all of these tests."""
    with chain.controller() as controller:
        yield controller


@pytest.fixture
def controller(shared_controller: Controller) -> Iterator[Controller]:
    """A controller whose detector is idle, with the usual settings, before and after."""
    shared_controller.reset()
    shared_controller.configure(SETTINGS)
    yield shared_controller
    shared_controller.abort()


@pytest.fixture(scope="session")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A chain for the tests that kill its processes and revive them."""
    chain = Chain(tmp_path_factory.mktemp("fragile"))
    yield chain
    chain.stop()


@pytest.fixture(scope="session")
def fragile_controller(fragile: Chain) -> Iterator[Controller]:
    """One controller for all deaths of that chain: none of them needs another."""
    with fragile.controller() as controller:
        yield controller


@pytest.fixture
def revived(fragile: Chain, fragile_controller: Controller) -> Iterator[Controller]:
    """That controller, with both processes alive and idle before and alive after."""
    fragile.revive()
    fragile_controller.make_ready()
    fragile_controller.configure(SETTINGS)
    yield fragile_controller
    for process in (fragile.acquirer, fragile.recorder):
        if not process.ended():
            process.send_signal(signal.SIGCONT)
    fragile.revive()


@pytest.fixture
def filename() -> str:
    """A name that no other test uses."""
    return f"{uuid4()}.nxs"


@pytest.fixture
def detector(controller: Controller) -> StinsDetector:
    """The device on the shared chain."""
    return StinsDetector(name="det", controller=controller, path_provider=StaticPathProvider())


@pytest.fixture(scope="module")
def segmenting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A chain like the one that all tests share, whose recorder makes data files."""
    chain = Chain(tmp_path_factory.mktemp("segmenting"), frames_per_file=PER_FILE)
    yield chain
    chain.stop()


@pytest.fixture
def segmented(segmenting: Chain) -> Iterator[StinsDetector]:
    """The device on that chain, beside `detector`, whose recorder writes one file."""
    with segmenting.controller() as controller:
        controller.make_ready()
        controller.configure(SETTINGS)
        yield StinsDetector(name="seg", controller=controller, path_provider=StaticPathProvider())


@pytest.fixture
def motor() -> SynAxis:
    """A motor that is nowhere but here."""
    return SynAxis(name="motor")


@pytest.fixture(scope="session")
def session_engine() -> RunEngine:
    """Its thread lasts as long as the tests do."""
    return RunEngine({}, context_managers=[])


@pytest.fixture
def engine(session_engine: RunEngine) -> Iterator[RunEngine]:
    """A RunEngine that is idle before and after, and calls nobody: a test that fails leaves its callbacks behind."""
    yield session_engine
    if session_engine.state != "idle":
        session_engine.halt()
    # A suspended run that was ended leaves it so that it replays nothing any more.
    session_engine.rewindable = True
    session_engine.dispatcher.unsubscribe_all()


@pytest.fixture
def documents(engine: RunEngine) -> Iterator[Documents]:
    """What the RunEngine emits."""
    documents = Documents()
    token = engine.subscribe(documents)
    yield documents
    engine.unsubscribe(token)


@pytest.fixture
def run_until(engine: RunEngine) -> Callable[..., None]:
    """Runs a plan and pauses it at once when an event is set; returns when the RunEngine is paused or idle."""

    def run(plan: Any, moment: threading.Event, *, defer: bool = False) -> None:
        def pause() -> None:
            if moment.wait(20):
                engine.request_pause(defer=defer)

        thread = threading.Thread(target=pause, name="pause")
        thread.start()
        try:
            with pytest.raises(RunEngineInterrupted):
                engine(plan)
        finally:
            moment.set()
            thread.join(20)

    return run
