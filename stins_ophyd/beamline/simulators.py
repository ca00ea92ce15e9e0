"""Simulators of vendors' detectors as child processes: where one is, and what leads an acquirer to it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from stins.daemon import ConfigError

from ..processes import DaemonProcess

__all__ = ["SimulatorProcess", "led_nowhere"]

Told = Mapping[str, Any]

#: What a simulator tells that was never started.
_NOWHERE: Final[Told] = {"control": "tcp://127.0.0.1:1", "streams": ["tcp://127.0.0.1:1"] * 2, "folder": "/nowhere"}


class _Vendor(msgspec.Struct, frozen=True):
    """`backend` drives it, whose `settings` lead there: `leads` gives them, by what it says and what is set already.

    `pins`: options that keep it where it says that it is. `places`: where a person asks it.
    """

    backend: str
    settings: tuple[str, ...]
    pins: Callable[[Told], dict[str, Any]]
    leads: Callable[[Told, Mapping[str, Any]], dict[str, Any]]
    places: Callable[[Told, Mapping[str, Any]], dict[str, str]]


def _host_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition("://")[2].rpartition(":")
    return host, int(port)


def _eiger_pins(told: Told) -> dict[str, Any]:
    addresses = zip(("port", "stream_port", "stream2_port"), (told["control"], *told["streams"]), strict=True)
    return {option: _host_port(address)[1] for option, address in addresses}


def _eiger_leads(told: Told, settings: Mapping[str, Any]) -> dict[str, Any]:
    v1, v2 = told["streams"]
    host, port = _host_port(told["control"])
    stream = v1 if settings.get("stream_version") == "v1" else v2
    return {"host": host, "http_port": port, "stream_port": _host_port(stream)[1]}


def _eiger_places(told: Told, settings: Mapping[str, Any]) -> dict[str, str]:
    control, stream_port = told["control"], _eiger_leads(told, settings)["stream_port"]
    return {"simulator": f"{control}?stream_port={stream_port}", "hook": f"{control}/simulator"}


def _pilatus_pins(told: Told) -> dict[str, Any]:
    ports = {"port": _host_port(told["control"])[1], "hook_port": _host_port(told["hook"])[1]}
    return {**ports, "folder": told["folder"]}


def _pilatus_leads(told: Told, _settings: Mapping[str, Any]) -> dict[str, Any]:
    host, port = _host_port(told["control"])
    return {"host": host, "port": port, "folder": told["folder"]}


def _pilatus_places(told: Told, _settings: Mapping[str, Any]) -> dict[str, str]:
    address = told["control"].removeprefix("tcp://")
    return {"simulator": f"camserver://{address}{told['folder']}", "hook": told["hook"]}


_VENDORS: Final = {
    "eiger": _Vendor("eiger", ("host", "http_port", "stream_port"), _eiger_pins, _eiger_leads, _eiger_places),
    "pilatus": _Vendor("pilatus", ("host", "port", "folder"), _pilatus_pins, _pilatus_leads, _pilatus_places),
}


class SimulatorProcess:
    """`stins simulate KIND` for an acquirer with that configuration; `acquirer` is the configuration that leads to it.

    `options` are those of the command, and `kind`.
    """

    def __init__(self, options: Mapping[str, Any], acquirer: Mapping[str, Any], folder: Path | None) -> None:
        self._vendor = _vendor(options, acquirer)
        self._folder = folder
        self.process = DaemonProcess("simulator", options, folder=folder)
        self._told = self.process.told
        self.acquirer = _led(acquirer, self._vendor, self._told)

    @property
    def address(self) -> str:
        """Where it is, as the vendor's detector would be."""
        return self.process.ready.control

    @property
    def places(self) -> dict[str, str]:
        """`simulator`: its address as `stins check` takes it; `hook`: where pulses and faults are asked for."""
        return self._vendor.places(self._told, self.acquirer["settings"])

    def revive(self) -> str | None:
        """Starts it again where it was, if it has ended; says how it did."""
        if (why := self.process.ended()) is None:
            return None
        self.process.stop()
        options = {**self.process.config, **self._vendor.pins(self._told)}
        self.process = DaemonProcess("simulator", options, folder=self._folder)
        return why

    def stop(self) -> None:
        """Ends it. Stopping twice does no harm."""
        self.process.stop()


def led_nowhere(options: Mapping[str, Any], acquirer: Mapping[str, Any]) -> dict[str, Any]:
    """An acquirer's configuration as a simulator would make it, for who only wants to know whether it is in order.

    Raises:
        ConfigError: the two do not go together.
    """
    return _led(acquirer, _vendor(options, acquirer), _NOWHERE)


def _led(acquirer: Mapping[str, Any], vendor: _Vendor, told: Told) -> dict[str, Any]:
    settings = acquirer.get("settings") or {}
    return {**acquirer, "settings": {**settings, **vendor.leads(told, settings)}}


def _vendor(options: Mapping[str, Any], acquirer: Mapping[str, Any]) -> _Vendor:
    vendor = _VENDORS.get(str(options.get("kind")))
    if vendor is None:
        raise ConfigError(f"simulator.kind: got {options.get('kind')!r}, expected one of {', '.join(_VENDORS)}")
    if acquirer.get("backend") != vendor.backend:
        raise ConfigError(
            f"simulator.kind: the acquirer's backend is {acquirer.get('backend')!r}, expected {vendor.backend!r}"
        )
    settings = acquirer.get("settings") or {}
    if not isinstance(settings, Mapping):
        raise ConfigError(f"acquirer.settings: got {settings!r}, expected names and values")
    if given := sorted(set(vendor.settings) & settings.keys()):
        raise ConfigError(
            f"acquirer.settings: got {', '.join(given)} beside a simulator, expected none of them: the simulator's are "
            "taken; for the real detector remove `simulator`"
        )
    return vendor
