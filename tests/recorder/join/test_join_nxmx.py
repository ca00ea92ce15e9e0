"""The joined file of a scan whose geometry is known."""

from pathlib import Path

from dealt import NAME, Dealt, differences
from nxmx_kit import is_valid_nxmx, meta_data, omegas


def test_a_joined_scan_reads_as_if_one_recorder_had_written_it(tmp_path: Path) -> None:
    dealt = Dealt(tmp_path, 3, expected=12)
    dealt.start(**meta_data(frame_units={"start_time": "ns"}))
    for number in range(12):
        if number == 4:
            dealt.lose(number)
        else:
            dealt.frame(number, detector_specific={"start_time": 1000 * number})
    dealt.end(12)
    dealt.join()
    whole = dealt.root / NAME
    assert differences(whole, dealt.whole.path) == ["/entry/series/reason"]
    assert omegas(whole) == [round(30 + 0.1 * number, 1) for number in range(12)]
    assert is_valid_nxmx(whole)
