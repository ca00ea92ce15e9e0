"""What the writer tells the supervisor, and when."""

from pathlib import Path

from recorder_kit import Desk
from stins_recorder.link import WriterStatus
from stins_recorder.writer.reporter import Reporter


class Wire:
    """Takes what is sent, and is all else that a reporter asks."""

    endpoint, connections = "tcp://127.0.0.1:1", 1

    def __init__(self) -> None:
        self.told: list[WriterStatus] = []

    def send(self, line: WriterStatus) -> None:
        self.told.append(line)

    @property
    def rows(self) -> list[int | None]:
        return [status.series and status.series.rows for status in self.told]


def test_flushes_while_more_frames_come_are_told_now_and_then_and_the_last_one_as_soon_as_none_come(
    tmp_path: Path,
) -> None:
    desk, wire = Desk(tmp_path), Wire()
    reporter = Reporter(wire, desk.recording, wire, wire)  # type: ignore[arg-type]
    desk.start()
    reporter.tell(10.0)
    for number, now in enumerate([10.02, 10.04, 10.11, 10.13]):
        desk.frame(number)
        desk.recording.flush()
        reporter.flushed(now, more=True)
    assert wire.rows == [0, 3]
    for now in (10.14, 10.15):
        reporter.flushed(now, more=False)
    assert wire.rows == [0, 3, 4]
