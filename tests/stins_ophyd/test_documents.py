"""The documents of a series: in order, each once, and none that points at nothing."""

import event_model
import msgspec
import pytest

from stins import StinsError
from stins.control import FrameDescription, SeriesState, SeriesStatus
from stins_ophyd.documents import image_data_key, image_keys
from stins_ophyd.streams import StreamDocuments, StreamKey

ACCOUNT = SeriesStatus(
    series_id="s", state=SeriesState.OPEN, file="/data/f.nxs", dataset="/entry/data/data", chunk_shape=(1, 4, 6)
)
IMAGE = StreamKey("det_image", {})


def test_indices_are_consecutive_and_the_resource_comes_once() -> None:
    stream = StreamDocuments()
    documents = [doc for index in (0, 2, 2, 5, 4) for doc in stream.documents([IMAGE], ACCOUNT, index)]
    assert [name for name, _ in documents] == ["stream_resource", "stream_datum", "stream_datum"]
    assert [doc["indices"] for _, doc in documents[1:]] == [{"start": 0, "stop": 2}, {"start": 2, "stop": 5}]
    assert documents[1][1]["seq_nums"] == {"start": 0, "stop": 0}
    assert documents[1][1]["descriptor"] == ""
    assert {doc["stream_resource"] for _, doc in documents[1:]} == {documents[0][1]["uid"]}


def test_the_keys_are_looked_at_once_and_every_document_is_valid() -> None:
    stream = StreamDocuments()
    assert not stream.begun
    first = list(stream.documents([IMAGE], ACCOUNT, 1))
    assert stream.begun
    for name, doc in [*first, *stream.documents((), ACCOUNT, 3)]:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
    assert stream.emitted == 3


@pytest.mark.parametrize(
    "lacking", [{"file": None}, {"dataset": None}, {"chunk_shape": (0, 4, 6)}, {"chunk_shape": None}]
)
def test_a_file_that_could_not_be_read_back_is_not_announced(lacking: dict[str, object]) -> None:
    with pytest.raises(StinsError, match="expected all three, no chunk of length 0"):
        list(StreamDocuments().documents([IMAGE], msgspec.structs.replace(ACCOUNT, **lacking), 1))


def test_each_key_has_its_own_place_and_all_have_the_same_events() -> None:
    frame = FrameDescription(shape=(4, 6), dtype="uint16", channels=("threshold_2",))
    numbers = StreamKey("det_sum", {}, "/entry/instrument/detector/frame_numbers/sum", (1024,))
    keys = [*image_keys("det", "stins:sim", frame, 1), numbers]
    stream = StreamDocuments()
    documents = [doc for index in (2, 3) for doc in stream.documents(keys, ACCOUNT, index)]
    resources = [doc for name, doc in documents if name == "stream_resource"]
    assert {doc["data_key"]: (doc["parameters"]["dataset"], doc["parameters"]["chunk_shape"]) for doc in resources} == {
        "det_image": ("/entry/data/data", [1, 4, 6]),
        "det_threshold_2": ("/entry/data/threshold_2", [1, 4, 6]),
        "det_sum": ("/entry/instrument/detector/frame_numbers/sum", [1024]),
    }
    told = [(doc["stream_resource"], doc["indices"]) for name, doc in documents if name == "stream_datum"]
    uids = [doc["uid"] for doc in resources]
    assert told == [(uid, {"start": a, "stop": b}) for a, b in ((0, 2), (2, 3)) for uid in uids]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("uint8", "|u1"), ("uint16", "<u2"), ("uint32", "<u4"), ("float32", "<f4")],
)
def test_a_data_key_has_the_type_that_stands_in_the_file(dtype: str, expected: str) -> None:
    key = image_data_key("stins:sim", FrameDescription(shape=(4, 6), dtype=dtype), 1)
    assert (key["dtype_numpy"], key["shape"]) == (expected, [4, 6])
    event_model.schema_validators[event_model.DocumentNames.descriptor].validate(
        {"uid": "u", "run_start": "r", "time": 0.0, "data_keys": {"det_image": key}}
    )


def test_packed_pixels_which_no_file_can_hold_are_refused_by_name() -> None:
    with pytest.raises(StinsError, match="stins:sim: got pixels of type 'mono12p', expected a type that HDF5 has"):
        image_data_key("stins:sim", FrameDescription(shape=(4, 6), dtype="mono12p"), 1)
