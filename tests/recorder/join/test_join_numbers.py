"""Numbers of the frames in a joined file are those of its parts, whenever these are computed."""

from pathlib import Path

import h5py
import numpy as np
from dealt import NAME, Dealt, differences
from stins_recorder.check.reader import FileReader
from stins_recorder.numbers.messages import Work
from stins_recorder.numbers.series_numbers import SeriesNumbers

from stins.control import NumbersRequest, Region
from stins.findings import Finding
from stins.share import part_name

#: Of a channel that these frames do not have, too: a column of NaN is a column.
ASKED = NumbersRequest(
    keys=("sum", "max"),
    regions=(Region(name="spot", row=1, column=2, rows=3, columns=4),),
    channels=("threshold_2",),
)


def compute(path: Path, rows: int) -> None:
    assert SeriesNumbers(path).advance(Work(file=str(path), rows=rows, over=True)).complete


def test_they_read_as_from_one_recorder(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 3, expected=10)
    dealt.whole.recording.prepare("s1", NAME, None, None, numbers=ASKED)
    for index, desk in enumerate(dealt.desks):
        desk.recording.prepare("s1", part_name(NAME, index), None, None, numbers=ASKED)
    dealt.start()
    for number in range(10):
        dealt.lose(number) if number == 4 else dealt.frame(number)
    dealt.end(10)
    compute(dealt.part(0), 4)

    dealt.join()

    with h5py.File(dealt.root / NAME) as file:
        early = file["/entry/frame_numbers/sum"][()]
        assert file["/entry/frame_numbers/threshold_2_spot_max"].attrs["channel"] == "threshold_2"
    assert np.flatnonzero(np.isfinite(early)).tolist() == [0, 3, 6, 9]
    for path, rows in (dealt.part(1), 3), (dealt.part(2), 3), (dealt.whole.path, 10):
        compute(path, rows)
    # A part's own file of numbers bears the mark that stands there; and the missing frame is that of a part.
    assert differences(dealt.root / NAME, dealt.whole.path) == ["/entry/series/numbers", "/entry/series/reason"]
    found: list[object] = []
    FileReader(dealt.root / NAME, found.append, decode=True).run()
    assert {line.rule for line in found if isinstance(line, Finding)} == {"frames.incomplete"}
