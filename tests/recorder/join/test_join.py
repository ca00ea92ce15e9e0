"""The joined file of a shared series reads as if one recorder had written it."""

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from dealt import NAME, Dealt, differences
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorder_kit import IMAGE, NUMBERS, SHAPE, image, module_parts
from stins_recorder.check.reader import FileReader
from stins_recorder.errors import RecorderError
from stins_recorder.join import run_join

from stins import Part
from stins.control import JoinRequest, SeriesState
from stins.findings import Finding
from tests.sweeps import sweep

REASON, PLOTTED = "/entry/series/reason", "/entry/data/frame_number"
FILL = np.iinfo("<u2").max


def written(path: str | None) -> "np.ndarray[Any, Any]":
    """The first pixel but one of each frame, which says its number."""
    assert path is not None
    with h5py.File(path) as file:
        return file["/entry/data/data"][:, 0, 1]


def test_a_complete_series_reads_as_from_one_recorder(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 3, expected=10)
    dealt.start(
        payload=[bytes(np.prod(SHAPE))],
        data=(IMAGE, Part(name="pixel_mask", shape=SHAPE, dtype="uint8")),
        detector_specific={"deep": {"er": [1, 2]}},
    )
    for number in range(10):
        dealt.frame(number, timestamp=number / 10, acquisition_timestamp=10**18 + number)
    dealt.end(10, detector_specific={"temperature": 21.5})

    account = dealt.join()

    assert differences(dealt.root / NAME, dealt.whole.path) == []
    assert account.state is SeriesState.COMPLETE
    counts = (
        "received",
        "written",
        "durable",
        "rows",
        "missing",
        "frames_expected",
        "dataset",
        "shape",
        "chunk_shape",
        "dtype",
    )
    assert [getattr(account, key) for key in counts] == [getattr(dealt.whole.account, key) for key in counts]


@pytest.mark.parametrize("frames_per_file", [None, 2])
def test_parts_and_the_joined_file_break_no_rule(tmp_path: Path, frames_per_file: int | None) -> None:
    dealt = Dealt(tmp_path, 3, frames_per_file=frames_per_file)
    dealt.start()
    for number in range(20):
        dealt.lose(number) if number in (3, 4, 7, 8) else dealt.frame(number)
    dealt.end(20)
    dealt.join()
    for path in (dealt.root / NAME, *(dealt.part(index) for index in range(3))):
        found: list[object] = []
        FileReader(path, found.append, decode=True).run()
        assert {line.rule for line in found if isinstance(line, Finding)} == {"frames.incomplete"}, path


def test_parts_in_several_data_files_are_joined_as_those_in_one(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 2, frames_per_file=3)
    dealt.start()
    for number in range(20):
        dealt.lose(number) if number in (6, 8, 10, 13) else dealt.frame(number)
    dealt.end(20)
    account = dealt.join()
    assert differences(dealt.root / NAME, dealt.whole.path) == [REASON]
    assert (account.shape, account.chunk_shape) == (dealt.whole.account.shape, dealt.whole.account.chunk_shape)


def test_parts_and_modules_are_joined_each_in_its_dataset(tmp_path: Path) -> None:
    parts, frame = module_parts((2, 1))
    dealt = Dealt(tmp_path / "modules", 2)
    dealt.start(data=parts, frame=frame)
    for number in range(5):
        dealt.frame(number, *[image(10 * number + i).tobytes() for i in range(2)], data=parts, frame=frame)
    dealt.end(5)
    dealt.join()
    assert differences(dealt.root / NAME, dealt.whole.path) == []

    two = (IMAGE, Part(name="threshold_2", shape=SHAPE, dtype="uint16"))
    dealt = Dealt(tmp_path / "thresholds", 2)
    dealt.start(data=two)
    for number in range(5):
        dealt.frame(number, image(number).tobytes(), image(number + 50).tobytes(), data=two)
    dealt.end(5)
    dealt.join()
    assert differences(dealt.root / NAME, dealt.whole.path) == []


def test_numbers_without_images_are_joined(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 2)
    dealt.start(data=())
    for number in range(5):
        dealt.frame(number, data=(), detector_specific={"current": number / 7, "gain": number})
    dealt.end(5)
    dealt.join()
    assert differences(dealt.root / NAME, dealt.whole.path) == []


def test_what_has_no_column_keeps_its_row(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 2)
    dealt.start()
    for number in range(6):
        dealt.frame(number, detector_specific={"word": f"frame {number}"})
    dealt.end(6)
    dealt.join()
    assert differences(dealt.root / NAME, dealt.whole.path) == []


def test_rows_that_a_part_hides_are_missing_in_the_whole(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 2)
    dealt.start()
    dealt.frames(0, 1)
    for number in range(2, 10_000):
        dealt.lose(number)
    dealt.frames(10_000, 10_001)
    dealt.end(10_002)
    account = dealt.join()
    assert (account.rows, account.missing_frames) == (10_002, ((2, 9999),))
    with h5py.File(account.file) as file, h5py.File(dealt.part(0)) as part:
        assert part["/entry/instrument/detector/data"].is_virtual
        assert "data_stored" not in file["/entry/instrument/detector"]
        shown = file["/entry/data/data"]
        assert np.array_equal(shown[0], image(0))
        assert (shown[5000] == FILL).all()
        assert np.array_equal(shown[10_001], image(10_001))


STEPS = st.lists(st.sampled_from(["frame"] * 4 + ["discard", "lost", "dropped"]), max_size=20)


@given(STEPS, st.integers(2, 4), st.booleans())
@settings(max_examples=sweep(25, 500), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_was_lost_it_reads_as_from_one_recorder(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], count: int, known: bool
) -> None:
    dealt = Dealt(tmp_path_factory.mktemp("dealt"), count, expected=len(steps) if known else None)
    dealt.start()
    for number, step in enumerate(steps):
        if step == "lost":
            dealt.lose(number)
        elif step == "dropped":
            dealt.drop(number, number)
        else:
            dealt.frame(number, **({"discard": True} if step == "discard" else {}))
    dealt.end(len(steps))

    account = dealt.join()

    whole = dealt.whole.account
    # A recorder numbers an empty row between discarded frames roughly (docs/reference/file.md); joined, it is exact.
    assert set(differences(dealt.root / NAME, dealt.whole.path)) <= {REASON, NUMBERS, PLOTTED}
    with h5py.File(dealt.root / NAME) as file:
        last = max((number for number, step in enumerate(steps) if step == "frame"), default=-1)
        rows = [number for number, step in enumerate(steps[: last + 1]) if step != "discard"]
        assert file[NUMBERS][()].tolist() == rows
    for key in ("state", "received", "written", "discarded", "missing", "missing_frames", "rows", "frames_total"):
        assert getattr(account, key) == getattr(whole, key), key


def test_the_frames_of_a_part_that_is_gone_are_missing_and_no_others(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 3, expected=8)
    dealt.series(8)
    dealt.part(1).unlink()

    account = dealt.join(1)

    # As with one recorder, the last row is that of the last frame that came.
    assert written(account.file).tolist() == [1, FILL, 2001, 3001, FILL, 5001, 6001]
    assert (account.state, account.missing_frames) == (SeriesState.INCOMPLETE, ((1, 1), (4, 4), (7, 7)))
    assert "part 1" in account.reason
    with h5py.File(account.file) as file:
        assert file["/entry/series/missing_frames"][()].tolist() == [[1, 1], [4, 4], [7, 7]]
        assert file["/entry/data/frame_number"][()].tolist() == list(range(7))


def test_the_last_frames_of_a_part_that_is_gone_are_known_from_the_end_of_the_others(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 3)
    dealt.series(8)
    dealt.part(1).unlink()
    assert dealt.join(1).missing_frames == ((1, 1), (4, 4), (7, 7))


def test_a_part_that_comes_back_is_joined_in_the_same_file(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 2)
    dealt.series(6)
    away = dealt.part(0).rename(tmp_path / "away")
    assert dealt.join(0).missing == 3
    away.rename(dealt.part(0))
    account = dealt.join()
    assert account.state is SeriesState.COMPLETE
    assert differences(dealt.root / NAME, dealt.whole.path) == []
    assert sorted(path.name for path in dealt.root.glob("[!.]*")) == [NAME, "scan_part0.h5", "scan_part1.h5"]


def test_an_open_part_is_left_out_and_told(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 2)
    dealt.start()
    dealt.frames(*range(6))
    dealt.desks[1].recording.flush()
    dealt.desks[0].end(frames_total=6)
    account = dealt.join(1)
    assert written(account.file).tolist() == [1, FILL, 2001, FILL, 4001]
    assert account.missing_frames == ((1, 1), (3, 3), (5, 5))
    dealt.desks[1].end(frames_total=6)


def test_a_file_of_somebody_else_is_never_replaced(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 2)
    dealt.series(4)
    with h5py.File(dealt.root / NAME, "w") as file:
        file["mine"] = 1
    with pytest.raises(RecorderError, match=r"scan\.h5: it stands already"):
        dealt.join()
    with h5py.File(dealt.root / NAME) as file:
        assert list(file) == ["mine"]
    assert len(list(dealt.root.glob("[!.]*"))) == 3


def test_a_part_that_its_recorder_has_closed_elsewhere_is_named(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 2)
    dealt.series(4)
    dealt.part(1).unlink()
    with pytest.raises(RecorderError, match=r"scan_part1\.h5: no such file.*a root that all of them see"):
        dealt.join()


def test_a_part_of_another_series_is_refused(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 2)
    dealt.series(4)
    shutil.copy(dealt.part(0), dealt.part(1))
    with pytest.raises(RecorderError, match=r"scan_part1\.h5: got series s1, share .*expected s1"):
        dealt.join()


def test_without_any_part_there_is_no_file(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 2)
    with pytest.raises(RecorderError, match="none of its 2 parts can be read"):
        dealt.join(0, 1)
    assert list(dealt.root.iterdir()) == []


def test_a_series_without_frames_is_joined(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 3)
    dealt.series(0)
    account = dealt.join()
    assert (account.state, account.rows) == (SeriesState.COMPLETE, 0)
    assert differences(dealt.root / NAME, dealt.whole.path) == []


def test_a_series_of_fewer_frames_than_recorders_is_joined(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 3)
    dealt.series(1)
    assert dealt.join().state is SeriesState.COMPLETE
    assert differences(dealt.root / NAME, dealt.whole.path) == []


def test_the_folder_may_be_moved(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 2)
    dealt.series(4)
    dealt.join()
    dealt.root.rename(tmp_path / "elsewhere")
    assert written(str(tmp_path / "elsewhere" / NAME)).tolist() == [1, 1001, 2001, 3001]


def test_it_is_done_in_a_process_of_its_own_within_a_time_limit(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 2)
    dealt.series(4)
    request = JoinRequest(series_id="s1", filename=NAME, count=2)
    with pytest.raises(RecorderError, match=r"join scan.h5: not done within 0.001 s"):
        run_join([dealt.root], request, limit_s=0.001)
    assert run_join([dealt.root], request).rows == 4
    with pytest.raises(RecorderError, match=r"join scan.h5: .*expected other"):
        run_join([dealt.root], JoinRequest(series_id="other", filename=NAME, count=2))
