"""What a beamline file says of numbers is what can be asked of a recorder: the same fields, with the same defaults."""

from typing import Any

import msgspec
import pytest
from pydantic.fields import PydanticUndefined

from stins.control import NumbersRequest, Region
from stins.daemon import Model
from stins_ophyd.beamline.config import NumbersConfig, RegionConfig


def asked(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.name: (field.type, field.default) for field in msgspec.structs.fields(struct)}


def written(model: type[Model]) -> dict[str, Any]:
    """The same of a part of the file, whose regions are written as such."""
    return {
        name: (
            tuple[Region, ...] if field.annotation == tuple[RegionConfig, ...] else field.annotation,
            msgspec.NODEFAULT if field.default is PydanticUndefined else field.default,
        )
        for name, field in model.model_fields.items()
    }


@pytest.mark.parametrize(("model", "struct"), [(NumbersConfig, NumbersRequest), (RegionConfig, Region)])
def test_a_beamline_file_has_what_a_request_for_numbers_has(model: type[Model], struct: type[msgspec.Struct]) -> None:
    assert written(model) == asked(struct)


def test_numbers_that_are_written_are_those_that_are_asked_for() -> None:
    region = {"name": "spot", "row": 1, "column": 2, "rows": 3, "columns": 4}
    config = NumbersConfig(keys=("max",), regions=(RegionConfig(**region),), channels=("high",))
    assert config.request == NumbersRequest(keys=("max",), regions=(Region(**region),), channels=("high",))
    assert NumbersConfig().request == NumbersRequest()
