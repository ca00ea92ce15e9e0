"""Backends are found by entry point, so that a facility adds its own from its own package."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from pydantic import BaseModel

from stins import StinsError
from stins.daemon import check_config

from .backend import Backend

__all__ = ["backend_class", "check_settings", "installed", "make_backend"]

GROUP = "stins.acquirers"


def installed() -> list[str]:
    """The names of all backends that are installed."""
    return sorted(point.name for point in entry_points(group=GROUP))


def backend_class(name: str) -> type[Backend]:
    """The backend of that name; raises `StinsError` with what is wrong with it and the names of the installed ones."""
    for point in entry_points(group=GROUP, name=name):
        try:
            loaded: type[Backend] = point.load()
        except Exception as error:  # another package's import may fail in any way: most often its SDK is absent
            raise StinsError(
                f"acquirer backend {name!r} ({point.value}) cannot be loaded: {type(error).__name__}: {error}; "
                f"installed: {', '.join(installed())}"
            ) from error
        return loaded
    raise StinsError(f"no acquirer backend {name!r}; installed: {', '.join(installed())}")


def make_backend(name: str, settings: Mapping[str, Any], where: str = "settings") -> Backend:
    """A backend with its settings checked; a refused setting is named with its value."""
    chosen: Any = backend_class(name)
    backend: Backend = chosen(check_settings(name, settings, where))
    return backend


def check_settings(name: str, settings: Mapping[str, Any], where: str = "settings") -> BaseModel:
    """The settings of the backend of that name, checked; a refused one is named with its value."""
    chosen: Any = backend_class(name)
    checked: BaseModel = check_config(dict(settings), chosen.Settings, where)
    return checked
