"""Each rule for files, broken on purpose: a file made by the recorder's own classes, then damaged."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from nxmx_kit import scan
from stins_recorder.check.report import ALL_RULES
from stins_recorder.check.stream_rules import STREAM_RULES

from stins import Axis, FrameLayout, Part
from stins.findings import Finding, Severity

ARM = Axis(name="two_theta", start=20.0, vector=(0.0, -1.0, 0.0))
DETECTOR, SERIES, DATA = "/entry/instrument/detector", "/entry/series", "/entry/data"
Make = Callable[..., Path]
Broken = Callable[..., set[str]]


def put(file: h5py.File, path: str, value: Any) -> None:
    del file[path]
    file[path] = value


def account(file: h5py.File, **values: Any) -> None:
    for key, value in values.items():
        put(file, f"{SERIES}/{key}", value)


def lose_chunk(file: h5py.File) -> None:
    _replace_data(file, stored=4)


def other_filter(file: h5py.File) -> None:
    _replace_data(file, stored=5, compression="gzip")


def _replace_data(file: h5py.File, stored: int, **values: str) -> None:
    pixels = file[f"{DETECTOR}/data"][()]
    for path in (f"{DATA}/data", f"{DETECTOR}/data"):
        del file[path]
    shape = (None, *pixels.shape[1:])
    data = file[DETECTOR].create_dataset("data", pixels.shape, "u2", chunks=(1, 8, 12), maxshape=shape, **values)
    data[:stored] = pixels[:stored]
    data.attrs.update({"interpretation": "image", "target": f"{DETECTOR}/data"})
    file[f"{DATA}/data"] = data


def _replace_numbers(file: h5py.File, rows: int) -> None:
    del file[f"{DETECTOR}/sequence_number"]
    file[DETECTOR].create_dataset("sequence_number", (rows,), "u8", chunks=(1024,))


def unreadable_numbers(file: h5py.File) -> None:
    del file[f"{DETECTOR}/sequence_number"]
    del file[f"{DATA}/frame_number"]
    numbers = file[DETECTOR].create_dataset("sequence_number", (5,), "u8", chunks=(5,), compression="gzip")
    numbers.id.write_direct_chunk((0,), b"not what gzip writes")
    numbers.attrs["target"] = f"{DETECTOR}/sequence_number"
    file[f"{DATA}/frame_number"] = numbers


DAMAGES: dict[str, Callable[[h5py.File], object]] = {
    "nexus.class": lambda f: f["/entry/instrument"].attrs.pop("NX_class"),
    "nexus.default-plot": lambda f: f.attrs.update({"default": "nope"}),
    "nexus.signal": lambda f: f[DATA].attrs.update({"signal": "nope"}),
    "nexus.axes": lambda f: f[DATA].attrs.update({"axes": ["frame_number"]}),
    "nexus.interpretation": lambda f: f[f"{DETECTOR}/data"].attrs.pop("interpretation"),
    "nexus.units": lambda f: f[f"{DETECTOR}/x_pixel_size"].attrs.update({"units": "eV"}),
    "nexus.links": lambda f: f[DATA].__setitem__("there", h5py.SoftLink("/entry/nowhere")),
    "nexus.times": lambda f: put(f, "/entry/start_time", "yesterday"),
    "frames.account-present": lambda f: f[SERIES].pop("written"),
    "frames.account": lambda f: account(f, received=99),
    "frames.expected": lambda f: account(f, frames_expected=9),
    "frames.surplus": lambda f: account(f, frames_expected=3),
    "frames.missing": lambda f: account(f, missing_frames=np.array([[9, 9]], "u8")),
    "frames.outcome": lambda f: account(f, outcome="splendid"),
    "frames.order": lambda f: f[f"{DETECTOR}/sequence_number"].__setitem__(3, 1),
    "frames.rows": lambda f: account(f, received=4, written=4, frames_expected=4),
    "frames.columns": lambda f: f[f"{DETECTOR}/timestamp"].resize((3,)),
    "data.layout": other_filter,
    "data.chunks": lose_chunk,
}


def test_a_healthy_file_breaks_no_rule(make: Make, broken: Broken) -> None:
    assert broken(make(), decode=True) == set()


def test_a_healthy_compressed_file_breaks_no_rule(make: Make, broken: Broken) -> None:
    assert broken(make(compression="bslz4"), decode=True) == set()


@pytest.mark.parametrize("rule", DAMAGES)
def test_a_damage_is_found_under_the_name_of_its_rule_alone(rule: str, make: Make, broken: Broken) -> None:
    path = make()
    with h5py.File(path, "r+") as file:
        DAMAGES[rule](file)
    assert broken(path) == {rule}


MODULE, OMEGA = f"{DETECTOR}/module", "/entry/sample/transformations/omega"
AWAY = f"{DETECTOR}/transformations/detector_z"
#: What can be wrong with a file that claims NXmx.
NXMX_DAMAGES: list[tuple[str, Callable[[h5py.File], object]]] = [
    ("nxmx.required", lambda f: f["/entry/source"].pop("name")),
    ("nxmx.required", lambda f: f["/entry"].pop("end_time_estimated")),
    ("nxmx.required", lambda f: f[MODULE].pop("fast_pixel_direction")),
    ("nxmx.chain", lambda f: put(f, "/entry/sample/depends_on", "/entry/nowhere")),
    ("nxmx.chain", lambda f: f[OMEGA].attrs.update({"depends_on": "kappa"})),
    ("nxmx.chain", lambda f: f[OMEGA].attrs.update({"depends_on": OMEGA})),
    ("nxmx.chain", lambda f: f[OMEGA].attrs.pop("depends_on")),
    ("nxmx.chain", lambda f: f[OMEGA].attrs.update({"units": "m"})),
    ("nxmx.chain", lambda f: f[OMEGA].attrs.update({"vector": [1.0, 1.0, 0.0]})),
    ("nxmx.chain", lambda f: f[AWAY].attrs.update({"transformation_type": "general"})),
    ("nxmx.chain", lambda f: f[AWAY].attrs.pop("vector")),
    ("nxmx.module", lambda f: put(f, f"{MODULE}/data_size", [12, 8])),
    ("nxmx.distance", lambda f: f[AWAY].write_direct(np.array(0.3))),
    ("nxmx.distance", lambda f: f[f"{DETECTOR}/distance"].attrs.update({"units": "mm"})),
    ("frames.columns", lambda f: f[OMEGA].resize((3,))),
]


@pytest.mark.parametrize(("rule", "damage"), NXMX_DAMAGES)
def test_a_file_that_claims_nxmx_in_vain_is_found_under_the_name_of_one_rule(
    rule: str, damage: Callable[[h5py.File], object], desk: Any, broken: Broken
) -> None:
    path = scan(desk, range(4), detector_axes=(ARM,))
    assert broken(path) == set()
    with h5py.File(path, "r+") as file:
        damage(file)
    assert broken(path) == {rule}


def test_a_file_that_does_not_claim_nxmx_may_lack_what_that_requires(desk: Any, broken: Broken) -> None:
    assert broken(scan(desk, range(4), distance=0.0)) == set()


def test_a_lost_frame_is_a_warning_with_the_reason(make: Make, found: Callable[..., list[Finding]]) -> None:
    (only,) = found(make(lost=[2]))
    assert (only.rule, only.severity) == ("frames.incomplete", Severity.WARNING)
    assert "1 frame is missing" in only.got


def test_frames_missing_at_the_end_have_rows_no_row_and_that_is_no_fault(make: Make, broken: Broken) -> None:
    assert broken(make(frames_expected=9)) == {"frames.incomplete"}


def test_a_file_of_a_series_that_failed_must_account_for_every_frame_too(make: Make, broken: Broken) -> None:
    path = make()
    with h5py.File(path, "r+") as file:
        account(file, outcome="failed", reason="the disk is full", frames_expected=9)
    assert broken(path) == {"frames.incomplete", "frames.expected"}


def test_pixels_of_a_frame_that_is_declared_missing_are_a_warning(make: Make, broken: Broken) -> None:
    path = make(lost=[2])
    with h5py.File(path, "r+") as file:
        file[f"{DETECTOR}/data"][2] = 7
    assert broken(path) == {"frames.incomplete", "data.missing"}


def test_a_frame_that_was_refused_is_a_missing_one(recorder: Any, broken: Broken) -> None:
    recorder.start(frames_expected=3)
    recorder.frame(0)
    odd = (Part(name="image", shape=(2, 2), dtype="uint16"),)
    recorder.take(recorder.sender.data(1, data=odd), bytes(8))
    recorder.frame(2)
    recorder.end()
    assert broken(recorder.path) == {"frames.incomplete"}


def test_discarded_frames_have_no_row_and_break_no_rule(recorder: Any, broken: Broken) -> None:
    recorder.start(frames_expected=4)
    for number in range(4):
        recorder.frame(number, discard=number in {1, 2})
    recorder.end()
    assert broken(recorder.path) == set()


def test_a_frame_lost_beside_discarded_ones_is_no_error(recorder: Any, broken: Broken) -> None:
    recorder.start(frames_expected=5)
    recorder.frame(0)
    recorder.lose(1)
    recorder.frame(2, discard=True)
    recorder.lose(3)
    recorder.frame(4)
    recorder.end()
    assert broken(recorder.path) == {"frames.incomplete"}


def test_frames_that_were_taken_again_break_no_rule(recorder: Any, broken: Broken) -> None:
    recorder.start(frames_expected=4)
    for number in (0, 1, 2):
        recorder.frame(number)
    recorder.frame(1, retake=True)
    recorder.frame(2)
    recorder.frame(3)
    recorder.end()
    assert broken(recorder.path) == set()


def test_a_series_without_a_frame_breaks_no_rule_but_is_incomplete(recorder: Any, broken: Broken) -> None:
    recorder.start()
    recorder.end()
    assert broken(recorder.path) == {"frames.incomplete"}


def test_a_series_of_numbers_without_images_breaks_no_rule(recorder: Any, broken: Broken) -> None:
    recorder.part = ()
    recorder.start(frames_expected=3)
    for number in range(3):
        recorder.take(recorder.sender.data(number, detector_specific={"current": 0.5 * number}))
    recorder.end()
    assert broken(recorder.path) == set()


def _first_chunk(path: Path) -> Any:
    with h5py.File(path, "r", swmr=True, locking=False) as file:
        return file[f"{DETECTOR}/data"].id.get_chunk_info(0)


def _overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def test_the_wrong_header_of_a_compressed_chunk_is_found_without_decoding(make: Make, broken: Broken) -> None:
    path = make(compression="bslz4")
    _overwrite(path, _first_chunk(path).byte_offset, bytes(12))
    assert broken(path) == {"data.chunk-header"}


def test_an_uncompressed_chunk_of_a_wrong_length_is_found(make: Make, broken: Broken) -> None:
    path = make(compression="bslz4")
    with h5py.File(path, "r+") as file:
        file[f"{DETECTOR}/data"].id.write_direct_chunk((2, 0, 0), b"short", filter_mask=1)
    assert broken(path) == {"data.chunk-size"}


def test_a_target_that_is_another_object_is_found(make: Make, broken: Broken) -> None:
    path = make()
    with h5py.File(path, "r+") as file:
        file[f"{DETECTOR}/data"].attrs["target"] = f"{DETECTOR}/timestamp"
    assert broken(path) == {"nexus.links"}


def test_an_end_before_the_start_is_found(make: Make, broken: Broken) -> None:
    path = make()
    with h5py.File(path, "r+") as file:
        put(file, "/entry/end_time", "2001-01-01T00:00:00+00:00")
    assert broken(path) == {"nexus.times"}


def test_a_complete_series_with_missing_frames_is_found(make: Make, broken: Broken) -> None:
    path = make(lost=[2])
    with h5py.File(path, "r+") as file:
        account(file, outcome="complete")
    assert broken(path) == {"frames.outcome"}


def test_a_frame_in_some_of_its_parts_is_found(recorder: Any, broken: Broken) -> None:
    recorder.part = ()
    recorder.start(frames_expected=1)
    frame = FrameLayout(shape=(2, 8, 12), chunks=(1, 8, 12))
    parts = [Part(name=f"module_{i}", shape=(8, 12), dtype="uint16", offset=(i, 0, 0)) for i in range(2)]
    recorder.take(recorder.sender.data(0, data=parts[:1], frame=frame), bytes(192))
    recorder.end()
    assert broken(recorder.path) == {"data.chunks"}


def test_a_frame_of_another_share_is_found(make: Make, broken: Broken) -> None:
    path = make()
    with h5py.File(path, "r+") as file:
        file[f"{SERIES}/share/index"], file[f"{SERIES}/share/count"] = 0, 2
    assert "frames.share" in broken(path)


def test_a_file_that_frames_are_shown_from_and_that_is_not_there_is_found(make: Make, broken: Broken) -> None:
    path = make()
    with h5py.File(path, "r+") as file:
        layout = h5py.VirtualLayout((5, 8, 12), "u2")
        layout[:] = h5py.VirtualSource("gone.h5", "data", (5, 8, 12), "u2")
        file[DETECTOR].create_virtual_dataset("elsewhere", layout)
    assert broken(path) == {"data.sources"}
    with h5py.File(path.parent / "gone.h5", "w") as file:
        file["data"] = np.zeros((5, 8, 12), "u2")
    assert broken(path) == set()


def test_a_chunk_that_cannot_be_decoded_is_found_only_by_decoding(make: Make, broken: Broken) -> None:
    path = make(compression="bslz4")
    chunk = _first_chunk(path)
    _overwrite(path, chunk.byte_offset + 12, b"\xff" * (chunk.size - 12))
    assert broken(path) == set()
    assert broken(path, decode=True) == {"data.decode"}


def test_a_chunk_beyond_the_end_of_a_torn_file_is_found(recorder: Any, tmp_path: Path, broken: Broken) -> None:
    torn = _copy_of_open_file(recorder, tmp_path)
    os.truncate(torn, _first_chunk(torn).byte_offset + 10)
    assert "data.truncated" in broken(torn)


def test_content_that_cannot_be_read_is_one_finding_of_each_rule_that_needs_it(make: Make, broken: Broken) -> None:
    path = make()
    with h5py.File(path, "r+") as file:
        unreadable_numbers(file)
    assert "file.unchecked" in broken(path)


def test_a_file_that_is_no_hdf5_is_unreadable(tmp_path: Path, broken: Broken) -> None:
    (tmp_path / "text.h5").write_text("no HDF5 at all")
    assert broken(tmp_path / "text.h5") == {"file.unreadable"}


def test_a_file_with_a_torn_tree_is_unreadable(make: Make, broken: Broken) -> None:
    path = make()
    content = path.read_bytes()
    _overwrite(path, content.index(b"program_name"), b"*")
    assert "file.unreadable" in broken(path)


def test_an_open_file_is_noted_as_such_and_nothing_else(recorder: Any, found: Callable[..., list[Finding]]) -> None:
    recorder.start()
    recorder.frame(0)
    recorder.frame(1)
    recorder.flush()
    (only,) = found(recorder.path)
    recorder.stop()
    assert (only.rule, only.severity) == ("file.open", Severity.NOTE)
    assert str(os.getpid()) in only.got


def test_a_file_that_waits_for_its_first_frame_is_open(recorder: Any, broken: Broken) -> None:
    recorder.start()
    assert broken(recorder.path) == {"file.open"}
    recorder.stop()


def test_a_file_whose_recorder_died_is_an_error(recorder: Any, tmp_path: Path, broken: Broken) -> None:
    left = _copy_of_open_file(recorder, tmp_path)
    assert broken(left) == {"file.open"}  # it grew a moment ago: its writer may be on another host
    os.utime(left, (1e9, 1e9))
    assert broken(left) == {"file.died"}


def _copy_of_open_file(recorder: Any, folder: Path) -> Path:
    """What a recorder that was killed leaves behind: nobody has this file open."""
    recorder.start()
    recorder.frame(0)
    recorder.flush()
    copy = folder / "left.h5"
    shutil.copy(recorder.path, copy)
    recorder.stop()
    return copy


def test_a_hostile_number_of_rows_is_refused_before_anything_is_read(make: Make, broken: Broken) -> None:
    path = make()
    with h5py.File(path, "r+") as file:
        _replace_numbers(file, 2**50)
    assert "frames.columns" in broken(path)


def test_groups_that_contain_each_other_are_walked_once(make: Make, broken: Broken) -> None:
    path = make()
    with h5py.File(path, "r+") as file:
        file["/entry/series/again"] = file["/entry"]
    assert broken(path) == set()


def test_every_rule_for_files_is_broken_by_a_test() -> None:
    here = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    stream = {rule.id for rule in STREAM_RULES}
    assert [rule.id for rule in ALL_RULES if rule.id not in stream and f'"{rule.id}"' not in here] == []


def test_no_two_rules_have_one_name() -> None:
    names = [rule.id for rule in ALL_RULES]
    assert len(names) == len(set(names))
