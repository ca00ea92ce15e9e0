"""What somebody at a prompt sees of an error, a pause and an abort: a line, and a traceback where it tells more."""

import logging
import re
import threading
from collections.abc import Callable, Iterator

import bluesky.plans as bp
import pytest
from bluesky import RunEngine
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from stins.control import RecorderState
from stins_ophyd import CombinedState, Snapshot, StinsDetector
from stins_ophyd.plans import fly_series
from stins_ophyd.progress import ProgressBars
from stins_ophyd.short_errors import load_ipython_extension, unload_ipython_extension

Type = Callable[[str], str]


@pytest.fixture(scope="module")
def shell() -> Iterator[InteractiveShell]:
    """A prompt without a terminal or a history, with the extension."""
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config, colors="nocolor")
    load_ipython_extension(shell)
    yield shell
    unload_ipython_extension(shell)


@pytest.fixture
def typed(
    shell: InteractiveShell,
    engine: RunEngine,
    detector: StinsDetector,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Type:
    """What is shown of a line that is typed, with what the RunEngine logs."""
    shell.user_ns.update(RE=engine, det=detector, bp=bp, fly_series=fly_series)
    caplog.set_level(logging.ERROR, "bluesky")

    def typed(line: str) -> str:
        capsys.readouterr()
        caplog.clear()
        shell.run_cell(line)
        return capsys.readouterr().out + caplog.text

    return typed


def paused_behind_a_frame(engine: RunEngine, detector: StinsDetector) -> Callable[[], None]:
    """Pauses the RunEngine at once when the detector acquires, and has a frame; returns what forgets that."""
    moment = threading.Event()

    def look(now: Snapshot) -> None:
        recorder = now.recorder
        series = recorder.series if recorder and recorder.state is RecorderState.RECORDING else None
        if now.state is CombinedState.ACQUIRING and series and series.written:
            moment.set()

    forget = detector.controller.subscribe(look)

    def pause() -> None:
        if moment.wait(20):
            engine.request_pause()

    thread = threading.Thread(target=pause, name="pause")
    thread.start()

    def end() -> None:
        moment.set()
        thread.join(20)
        forget()

    return end


@pytest.fixture
def paused(engine: RunEngine, detector: StinsDetector, typed: Type) -> Callable[[str], str]:
    """What is shown of a line in whose second exposure, or behind it, the RunEngine is paused."""
    detector.configure({"exposure_s": 0.05, "period_s": 0.05})

    def paused(line: str) -> str:
        end = paused_behind_a_frame(engine, detector)
        try:
            return typed(line)
        finally:
            end()

    return paused


def test_a_fly_series_that_is_paused_is_not_said_to_be_resumable(engine: RunEngine, paused: Type) -> None:
    shown = paused("RE(fly_series(det, 100))")
    assert engine.state == "idle"
    assert "RunEngineInterrupted: the plan has ended. Nothing is paused" in shown
    assert "paused in the middle of a fly series, which cannot be resumed; take it again" in shown
    assert "RE.resume()" not in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("end", ["abort", "halt"])
def test_a_pause_says_how_to_go_on_and_what_was_asked_for_has_no_traceback(
    engine: RunEngine, typed: Type, paused: Type, end: str
) -> None:
    shown = paused("RE(bp.count([det], 20))")
    assert engine.state == "paused"
    assert "RE.resume()" in shown
    assert "Traceback" not in shown
    ended = typed(f"RE.{end}()")
    assert engine.state == "idle"
    assert "Run aborted" in ended
    assert "Traceback" not in ended


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('det.configure({"nonsense": 3})', "^ValueError: There is no signal named nonsense$"),
        ("det.path_provider = 3", "^TypeError: det: path_provider: got 3, expected a path provider"),
        ("det.frames.put(0)", "^StinsError: det_frames: got 0, expected a whole number"),
        ("RE(bp.count(det))", "^TypeError: The input argument must be either as a list or a tuple"),
        ("RE.resume()", "^TransitionError: The RunEngine is the idle state"),
        ('RE(fly_series("det", 5))', "^StinsError: detectors: got the text 'det'"),
    ],
)
def test_what_is_refused_takes_a_line(typed: Type, line: str, text: str) -> None:
    shown = typed(line)
    assert re.search(text, shown, re.MULTILINE)
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    "line",
    [
        "None + 1",
        "int('x')",
        # In a function of the user's own the line that called it is what has to be found.
        'def wrong():\n    det.configure({"nonsense": 3})\n\nwrong()',
        "def plan():\n    yield from bp.count(det)\n\nRE(plan())",
    ],
)
def test_what_is_a_slip_in_code_has_its_traceback(typed: Type, line: str) -> None:
    assert "Traceback (most recent call last)" in typed(line)


def test_a_syntax_error_is_shown_as_ever(typed: Type) -> None:
    assert "SyntaxError" in typed("RE(")


def test_without_the_extension_errors_are_as_long_as_before(typed: Type, shell: InteractiveShell) -> None:
    unload_ipython_extension(shell)
    try:
        assert "Traceback (most recent call last)" in typed("det.frames.put(0)")
    finally:
        load_ipython_extension(shell)


def test_a_bar_that_was_left_goes_without_a_warning(engine: RunEngine, paused: Type, typed: Type) -> None:
    engine.waiting_hook = ProgressBars()
    try:
        paused("RE(fly_series(det, 100))")
        assert engine.waiting_hook.pbar is not None
        shown = typed("RE(bp.count([det]))")  # a warning is an error here
    finally:
        engine.waiting_hook = None
    assert "Error" not in shown
    assert "Warning" not in shown
