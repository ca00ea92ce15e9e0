"""Configuration files: YAML in, a checked model out, and errors that a person can act on."""

import ipaddress
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import StinsError

__all__ = ["ConfigError", "HttpConfig", "Model", "check_config", "is_loopback", "load_config"]


class ConfigError(StinsError):
    """A configuration was refused; the text names the field, the value and what is allowed."""


class Model(BaseModel):
    """A part of a configuration: unknown keys are refused. What stands below a field is its description."""

    model_config = ConfigDict(extra="forbid", frozen=True)


M = TypeVar("M", bound=BaseModel)


class HttpConfig(Model):
    """Where the daemon is controlled."""

    host: str = "127.0.0.1"
    """Address to listen on; anything but loopback needs `token_file`."""
    port: int = Field(default=0, ge=0, le=65535)
    """TCP port; 0 lets the system choose, the choice is printed and shown by `stins status`."""
    token_file: Path | None = None
    """File (mode 0600) whose content every request must carry as `Authorization: Bearer …`."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_config(path: Path, model: type[M]) -> M:
    """Reads a YAML file.

    Raises:
        ConfigError: no such file, not YAML, or a field that the model refuses.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    return check_config(content if content is not None else {}, model, str(path))


def check_config(content: object, model: type[M], where: str) -> M:
    """The model's value of a mapping; `where` stands in front of the errors."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [line for problem in error.errors() for line in _lines(problem, model)]
        raise ConfigError("\n  ".join([f"{where}:", *lines])) from None


def _lines(problem: Any, model: type[BaseModel]) -> list[str]:
    field = ".".join(str(step) for step in problem["loc"]) or "(the whole file)"
    if problem["type"] == "extra_forbidden":
        fields = ", ".join(_fields(model, problem["loc"][:-1]))
        return [f"{field}: unknown field; allowed: {fields}" if fields else f"{field}: unknown field"]
    if problem["type"] == "missing":
        return [f"{field}: missing, and it has no default"]
    # What one of our own checks says stands behind the kind of its exception, a line for each thing that is wrong. Of a
    # field of several parts it says which one that is, and what it got there: the whole of it would hide that.
    said = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error" and isinstance(problem["input"], dict):
        return [f"{field}: {line}" for line in said.splitlines()]
    return [f"{field}: got {problem['input']!r}: {said}"]


def _fields(model: Any, path: tuple[object, ...]) -> list[str]:
    for step in path:
        if get_origin(model) in (dict, tuple):  # parts such as the detectors of a beamline: each has the same fields
            model = get_args(model)[0 if get_origin(model) is tuple else 1]
        else:
            model = _or_none(getattr(getattr(model, "model_fields", {}).get(step), "annotation", None))
    return sorted(getattr(model, "model_fields", {}))


def _or_none(annotation: Any) -> Any:
    """What `... | None` is where it is not None."""
    if not isinstance(annotation, UnionType):
        return annotation
    return next(each for each in get_args(annotation) if each is not NoneType)
