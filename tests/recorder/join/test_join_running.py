"""A shared series is read as one file while its parts are written."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from dealt import NAME, Dealt, differences
from recorder_kit import image
from stins_recorder.errors import RecorderError
from stins_recorder.join.running import hide_parts, show_parts

from stins.control import JoinRequest


def request(dealt: Dealt) -> JoinRequest:
    return JoinRequest(series_id="s1", filename=NAME, count=len(dealt.desks), frames_expected=dealt.expected)


def flush(dealt: Dealt) -> None:
    for desk in dealt.desks:
        desk.recording.flush()


def read(dealt: Dealt, rows: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint16]]":
    with h5py.File(dealt.root / NAME, "r", swmr=True) as file:
        assert file["/entry/instrument/detector/sequence_number"][:rows].tolist() == list(range(rows))
        assert file["/entry/data/data"].shape[0] >= rows
        frames = file["/entry/data/data"][:rows]
        assert "end_time" not in file["/entry"]
    return frames


@pytest.mark.parametrize("expected", [11, None])
@pytest.mark.parametrize("frames_per_file", [None, 2])
def test_frames_are_there_once_they_are_flushed(
    tmp_path: Path, expected: int | None, frames_per_file: int | None
) -> None:
    dealt = Dealt(tmp_path, 3, expected, frames_per_file=frames_per_file)
    dealt.start()
    dealt.frames(0, 1, 2, 3)
    flush(dealt)
    show_parts([dealt.root], request(dealt))
    assert np.array_equal(read(dealt, 4), [image(number) for number in range(4)])
    dealt.frames(*range(4, 11))
    flush(dealt)
    assert np.array_equal(read(dealt, 11), [image(number) for number in range(11)])

    dealt.end(11)
    dealt.join()

    assert differences(dealt.root / NAME, dealt.whole.path) == []


def test_it_takes_no_ones_place(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 2)
    dealt.series(4)
    dealt.join()
    joined = (dealt.root / NAME).read_bytes()
    show_parts([dealt.root], request(dealt))
    hide_parts([dealt.root], request(dealt))
    assert (dealt.root / NAME).read_bytes() == joined
    (dealt.root / NAME).write_bytes(b"somebody's")
    for step in (show_parts, hide_parts):
        with pytest.raises(RecorderError):
            step([dealt.root], request(dealt))
    assert (dealt.root / NAME).read_bytes() == b"somebody's"


def test_what_is_shown_can_be_hidden_again(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 2)
    dealt.start()
    dealt.frames(0, 1)
    flush(dealt)
    show_parts([dealt.root], request(dealt))
    hide_parts([dealt.root], request(dealt))
    hide_parts([dealt.root], request(dealt))
    assert not (dealt.root / NAME).exists()


def test_a_part_without_a_frame_is_not_shown(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 2)
    dealt.start()
    dealt.frames(0)
    flush(dealt)
    with pytest.raises(RecorderError, match=r"scan_part1\.h5: it has no frame yet"):
        show_parts([dealt.root], request(dealt))
    assert [path.name for path in dealt.root.glob("*scan.h5*")] == []
