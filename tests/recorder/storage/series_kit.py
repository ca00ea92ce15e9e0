"""A series file without machine and sockets, and one in a process that is killed."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from recorder_kit import IMAGE, header, image
from stins_recorder.series.series_file import FileCheckpoint, SeriesFile

from stins import Data, Outcome, Packet, Part, SeriesResult, SeriesSender, SeriesStart, StoreFrame

DETECTOR = "/entry/instrument/detector"
DATA = f"{DETECTOR}/data"


def start_of(path: Path, **values: Any) -> SeriesStart:
    return SeriesSender().start(header(path.name, **values))


def stored(
    row: int, content: Sequence[bytes] | None = None, data: Sequence[Part] = (IMAGE,), **values: Any
) -> StoreFrame:
    """The frame whose number is its row."""
    rewound = values.pop("rewound", False)
    head = Data(version=1, message_id=row + 1, frame_number=row, data=tuple(data), **values)
    parts = content if content is not None else [image(row).tobytes()]
    return StoreFrame(packet=Packet(header=head, payload=tuple(parts)), header=head, row=row, count=1, rewound=rewound)


_DOOMED = """
import sys, msgspec
from pathlib import Path
sys.path[:0] = {folders!r}
from series_kit import *
file, path = None, Path(sys.argv[1])
{script}
print(msgspec.json.encode(file.checkpoint()).decode(), flush=True)
sys.stdin.read()
"""


def killed(path: Path, script: str) -> FileCheckpoint:
    """Runs the script, which sets `file`, and kills it when it has printed the file's checkpoint."""
    folders = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    code = _DOOMED.format(folders=folders, script=script)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as doomed:
        assert doomed.stdout is not None
        line = doomed.stdout.readline()
        doomed.kill()
    return msgspec.json.decode(line, type=FileCheckpoint)


def closed(file: SeriesFile, outcome: Outcome = Outcome.COMPLETE) -> None:
    """Ends the series with the rows that the file has."""
    rows = file.rows
    result = SeriesResult(
        outcome=outcome, reasons=(), received=rows, stored=rows, discarded=0, retaken=0, rows=rows, missing=(),
        duplicates=0, refused=0, moved_keys=(), frames_expected=None, end=None,
    )  # fmt: skip
    file.close(result, {"outcome": outcome.value})


def images(rows: Sequence[int]) -> "np.ndarray[Any, Any]":
    return np.array([image(row) for row in rows])


__all__ = [
    "DATA", "DETECTOR", "FileCheckpoint", "SeriesFile", "closed", "images", "killed", "msgspec", "start_of", "stored",
]  # fmt: skip
