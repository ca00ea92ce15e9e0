"""Where each part of a frame goes."""

import pytest
from msgspec import UNSET
from recorder_kit import IMAGE, SHAPE, module_parts
from stins_recorder.errors import RecorderError
from stins_recorder.layout import DatasetLayout, FrameWriterLayout, frame_layout

from stins import Part


def part(name: str, **values: object) -> Part:
    return Part(**{"name": name, "shape": SHAPE, "dtype": "uint16", **values})  # type: ignore[arg-type]  # a value of any field


def test_one_part_is_the_dataset_data() -> None:
    dataset = DatasetLayout("data", SHAPE, SHAPE, "<u2", "none")
    assert frame_layout([IMAGE], UNSET) == FrameWriterLayout((dataset,), (0,), ((0, 0),))


def test_parts_without_a_common_frame_are_a_dataset_each() -> None:
    layout = frame_layout([part("threshold_1"), part("threshold_2", dtype="float32")], UNSET)
    assert [(d.name, d.dtype) for d in layout.datasets] == [("data", "<u2"), ("threshold_2", "<f4")]
    assert layout.targets == (0, 1)


def test_a_part_never_takes_the_place_of_a_field_of_the_detector() -> None:
    names = ["a", "data", "data_", "sequence_number", "count_time", "pixel_mask", "threshold_2"]
    layout = frame_layout([part(name) for name in names], UNSET)
    assert [d.name for d in layout.datasets] == [
        "data", "data_", "data__", "sequence_number_", "count_time_", "pixel_mask_", "threshold_2",
    ]  # fmt: skip


def test_modules_of_a_frame_share_a_dataset_at_their_offsets() -> None:
    parts, frame = module_parts((2, 1), "bslz4")
    layout = frame_layout(parts, frame)
    assert layout.datasets == (DatasetLayout("data", (16, 12), SHAPE, "<u2", "bslz4"),)
    assert (layout.targets, layout.offsets) == ((0, 0), ((0, 0), (8, 0)))


@pytest.mark.parametrize("values", [{"dtype": "mono12p"}, {"compression": "cbf"}])
def test_what_cannot_be_stored_as_it_is_is_refused_by_name(values: dict[str, str]) -> None:
    with pytest.raises(RecorderError, match=r"part 'image': cannot record .*expected one of .*uint16.*bslz4"):
        frame_layout([part("image", **values)], UNSET)


def test_modules_of_different_kinds_are_refused() -> None:
    parts, frame = module_parts((2, 1))
    with pytest.raises(RecorderError, match="differ in dtype or compression"):
        frame_layout([parts[0], part("m", compression="lz4", offset=(8, 0))], frame)
