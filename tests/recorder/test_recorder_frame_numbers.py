"""The numbers that come with frames: in columns where they fit, as lines of JSON where not."""

import json
from typing import Any

import h5py
import numpy as np
from msgspec import UNSET
from stins_recorder.series.frame_numbers import FrameNumbers, cut_numbers

from stins import Data, Spans
from stins.messages import frame_count


def record(*frames: dict[str, Any], rows: int | None = None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What stands in the columns, and in the notes."""
    headers = [
        Data(version=1, message_id=i, **({"frame_number": i, "detector_specific": UNSET} | frame))
        for i, frame in enumerate(frames)
    ]
    with h5py.File.in_memory() as file:
        FrameNumbers.create(file, headers[0])
        numbers = FrameNumbers(file)
        row = 0
        for header in headers:
            numbers.set(header, row, frame_count(header))
            row += frame_count(header)
        numbers.flush()
        cut_numbers(file, rows or row, numbers.notes_bytes)
        columns = {
            c.dataset.attrs.get("key", c.dataset.name.rpartition("/")[2]): c.dataset[:] for c in numbers.columns()
        }
        notes = bytes(file["frame_specific/notes"][:]).decode().splitlines()
    return {name: values.tolist() for name, values in columns.items()}, [json.loads(line) for line in notes]


def test_numbers_stand_in_columns() -> None:
    columns, notes = record(*({"timestamp": i / 2, "detector_specific": {"n": i, "x": i + 0.5}} for i in range(3)))
    assert columns == {
        "sequence_number": [0, 1, 2], "timestamp": [0.0, 0.5, 1.0], "n": [0, 1, 2], "x": [0.5, 1.5, 2.5],
    }  # fmt: skip
    assert notes == []


def test_nanoseconds_beyond_2_to_the_53_survive() -> None:
    now = 1704807770443944911
    columns, _ = record({"acquisition_timestamp": now}, {"acquisition_timestamp": now + 1})
    assert columns["acquisition_timestamp"] == [now, now + 1]


def test_what_fits_no_column_is_kept_as_a_note() -> None:
    frames = [
        {"n": 1, "row": 5, "text": "a", "flag": True},
        {"n": 2.5, "row": 6, "late": 3},
        {"n": 2**70, "row": None},
    ]
    columns, notes = record(*({"detector_specific": content} for content in frames))
    assert columns == {"sequence_number": [0, 1, 2], "n": [1, 0, 0], "row": [5, 6, 0]}
    assert notes == [
        {"row": 0, "key": "text", "value": "a"},
        {"row": 0, "key": "flag", "value": True},
        {"row": 1, "key": "n", "value": 2.5},
        {"row": 1, "key": "late", "value": 3},
        {"row": 2, "key": "n", "value": 2**70},
        {"row": 2, "key": "row", "value": None},
    ]


def test_times_that_no_column_holds_are_notes_too() -> None:
    columns, notes = record({"acquisition_timestamp": 5}, {"acquisition_timestamp": 2**64, "timestamp": 1.5})
    assert columns["acquisition_timestamp"] == [5, 0]
    assert notes == [
        {"row": 1, "key": "timestamp", "value": 1.5},
        {"row": 1, "key": "acquisition_timestamp", "value": 2**64},
    ]


def test_lists_with_a_number_for_each_frame_of_the_message_fill_as_many_rows() -> None:
    frames = [{"current": [1.0, 2.0, 3.0], "gain": [1, 2, 3]}, {"current": [4.0], "gain": [4]}]
    columns, notes = record(*({"frame_number": n, "detector_specific": c} for n, c in zip((0, 3), frames, strict=True)))
    assert columns == {"sequence_number": [0, 1, 2, 3], "current": [1.0, 2.0, 3.0, 4.0], "gain": [1, 2, 3, 4]}
    assert notes == []


def test_a_list_that_belongs_to_one_frame_writes_into_no_other_row() -> None:
    content = {"sums": [1, 2, 3], "n": 7}
    columns, notes = record({"detector_specific": content}, {"detector_specific": content})
    assert columns == {"sequence_number": [0, 1], "n": [7, 7]}
    assert notes == [{"row": row, "key": "sums", "value": [1, 2, 3]} for row in (0, 1)]


def test_any_key_can_be_a_column() -> None:
    keys = ["a/b", ".x", "", "nul\0", "k" * 5000]
    columns, notes = record({"detector_specific": dict.fromkeys(keys, 3)})
    assert columns == {"sequence_number": [0]} | {key.replace("\0", "\\0"): [3] for key in keys}
    assert notes == []


def test_a_short_gap_is_numbered_in_the_end_and_a_missing_number_is_nan() -> None:
    with h5py.File.in_memory() as file:
        frames = [Data(version=1, message_id=i, frame_number=i, timestamp=i / 2) for i in (0, 3, 9003)]
        FrameNumbers.create(file, frames[0])
        numbers = FrameNumbers(file)
        for frame in frames:
            numbers.set(frame, frame.frame_number, 1)
        numbers.flush()
        assert file["sequence_number"][:4].tolist() == [0, 0, 0, 3]
        numbers.number_missing(Spans([(1, 2), (4, 9002)]))
        numbers.flush()
        cut_numbers(file, 9004, 0)
        assert file["sequence_number"][:5].tolist() == [0, 1, 2, 3, 0]
        assert file["sequence_number"][9002:].tolist() == [0, 9003]
        np.testing.assert_array_equal(file["timestamp"][:4], [0, np.nan, np.nan, 1.5])


def test_numbers_go_on_behind_a_row_and_what_stood_behind_it_is_void() -> None:
    with h5py.File.in_memory() as file:
        frames = [
            Data(version=1, message_id=i, frame_number=i, timestamp=i / 2, detector_specific={"n": i, "text": "t"})
            for i in range(4)
        ]
        FrameNumbers.create(file, frames[0], ahead=True)
        numbers = FrameNumbers(file)
        numbers.extend(5000)
        for frame in frames[:2]:
            numbers.set(frame, frame.frame_number, 1)
        numbers.flush()
        notes_bytes = numbers.notes_bytes
        numbers.set(frames[2], 2, 1)
        numbers.flush()
        again = FrameNumbers(file, 2, notes_bytes)
        again.set(frames[3], 3, 1)
        again.flush()
        assert len(file["timestamp"]) >= 5000
        cut_numbers(file, 4, again.notes_bytes)
        np.testing.assert_array_equal(file["timestamp"][:], [0, 0.5, np.nan, 1.5])
        assert file["frame_specific/n"][:].tolist() == [0, 1, 0, 3]
        notes = bytes(file["frame_specific/notes"][:]).decode().splitlines()
        assert [json.loads(line)["row"] for line in notes] == [0, 1, 3]
