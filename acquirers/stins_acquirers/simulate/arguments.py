"""A simulator's options, as a model, on its command line and in its configuration file."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from pydantic import RootModel

from stins import StinsError
from stins.daemon import Model, check_config, load_config
from stins.daemon.descriptions import descriptions

__all__ = ["add_options", "read_options"]

M = TypeVar("M", bound=Model)
#: What stands on the command line beside the model's fields.
_OWN = ("config", "fault", "end_with_stdin", "log_level")


class _Content(RootModel[dict[str, Any]]):
    """A file before it is known what may stand in it."""


def add_options(parser: argparse.ArgumentParser, model: type[Model], defaults: Mapping[str, str] | None = None) -> None:
    """Adds an option for each field of the model, and those that every simulator has.

    `defaults` says what a field is by default that the model has no default of.
    """
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file with the same options, _ for -")
    texts = descriptions(model)
    for name, field in model.model_fields.items():
        if name == "faults":
            continue
        extra: Any = field.json_schema_extra or {}
        unit = f" [{extra['unit']}]" if "unit" in extra else ""
        default = (defaults or {}).get(name) or repr(field.default)
        kind: Any = _shape if name == "shape" else None
        text = f"{texts.get(name)}{unit} (default {default})".replace("%", "%%")
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=name.upper(), help=text)
    parser.add_argument("--fault", action="append", metavar="JSON", help="what goes wrong; may be given several times")
    parser.add_argument("--end-with-stdin", action="store_true", help="end when stdin is closed, as when a parent dies")
    levels = ["DEBUG", "INFO", "WARNING", "ERROR"]
    parser.add_argument("--log-level", default="INFO", choices=levels, help="default INFO")


def read_options(given: argparse.Namespace, model: type[M], where: str, **first: Any) -> M:
    """The options: `first`, over them those of the file, and over them those of the command line.

    Raises `StinsError` that names what is wrong; `where` stands in front.
    """
    chosen = dict(first)
    if given.config is not None:
        # What has no default in the model may have one here, so that the file need not say it.
        content = {**first, **load_config(given.config, _Content).root}
        chosen |= check_config(content, model, str(given.config)).model_dump(exclude_unset=True)
    chosen |= {name: value for name, value in vars(given).items() if name not in _OWN and value is not None}
    if given.fault:
        chosen["faults"] = [*chosen.get("faults", ()), *(_fault(text) for text in given.fault)]
    return check_config(chosen, model, where)


def _fault(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise StinsError(f"--fault {text}: expected a JSON object: {error}") from None


def _shape(text: str) -> list[str]:
    """`64x48` as rows and columns."""
    return text.split("x")
