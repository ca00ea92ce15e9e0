"""How a series begins: what was asked for, checked, and what its series-start says."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET

from stins import Limits, SeriesHeader, SeriesInfo, StinsError
from stins.checks import check_depth
from stins.control import ArmRequest

from .backend import Opening
from .surroundings import Surroundings

__all__ = ["check_request", "series_header"]


def check_request(request: ArmRequest) -> None:
    """Raises `StinsError` for what no series can be: checked before the detector is armed."""
    for name, value in (("frames_per_trigger", request.frames_per_trigger), ("triggers", request.triggers)):
        if value is not None and value < 1:
            raise StinsError(f"arm: {name}: got {value}, expected at least 1")
    # A receiver would refuse it.
    check_depth({"metadata": request.metadata}, Limits())


def series_header(
    name: str, request: ArmRequest, opening: Opening, frames_expected: int | None, surroundings: Surroundings
) -> SeriesHeader:
    """What the backend says, with what it cannot know: id, source, file name, arm time, and what stands around it."""
    return msgspec.structs.replace(
        surroundings.complete(opening.header, request.metadata),
        arm_time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        series=SeriesInfo(
            id=request.series_id,
            source=name,
            filename=request.filename,
            frames_expected=UNSET if frames_expected is None else frames_expected,
        ),
        detector_specific=_merged(opening.header.detector_specific, request.metadata),
    )


def _merged(own: Any, metadata: Mapping[str, Any]) -> Any:
    """The detector's free content and the user's meta data, the latter under a key of its own."""
    if not metadata:
        return own
    return {**(own or {}), "metadata": dict(metadata)}
