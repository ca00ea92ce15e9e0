"""What stands around a detector: the beamline's names, the source, the beam; and when the series is likely to end."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import h5py
from msgspec import UNSET, UnsetType

from stins import Acquisition, Beamline, SeriesInfo, SeriesStart
from stins.physics import HC_EV_ANGSTROM

from .places import add_field, add_group

__all__ = ["estimated_end", "write_beam", "write_names"]

_UNKNOWN = "unknown"


def write_names(entry: h5py.Group, instrument: h5py.Group, start: SeriesStart, *, nxmx: bool) -> None:
    """The names of beamline and source. NXmx requires both, and the source beside the instrument, not in it."""
    beamline = start.beamline or Beamline()
    if beamline.name or nxmx:
        _name(instrument, beamline.name, beamline.short_name)
    if beamline.time_zone:
        add_field(instrument, "time_zone", _in_zone(str(entry["start_time"].asstr()[()]), beamline.time_zone))
    if beamline.source_name or nxmx:
        source = add_group(entry if nxmx else instrument, "source", "NXsource")
        _name(source, beamline.source_name, beamline.source_short_name)


def write_beam(instrument: h5py.Group, start: SeriesStart) -> None:
    """Energy and wavelength, and what else is known of the beam."""
    energy = (start.acquisition or Acquisition()).incident_energy
    beamline = start.beamline or Beamline()
    stokes = beamline.polarization_stokes
    fields = {
        "incident_energy": (energy, "eV"),
        "incident_wavelength": (
            HC_EV_ANGSTROM / energy if energy and energy > 0 else UNSET,
            "angstrom",
        ),
        "total_flux": (beamline.total_flux, "Hz"),
        "incident_beam_size": (beamline.beam_size, "m"),
        "profile": (beamline.beam_profile, None),
        # One vector for all frames: NXbeam has a row for each that is known.
        "incident_polarization_stokes": (UNSET if isinstance(stokes, UnsetType) else [list(stokes)], None),
    }
    known = {name: (value, units) for name, (value, units) in fields.items() if value is not UNSET}
    if known:
        beam = add_group(instrument, "beam", "NXbeam")
        for name, (value, units) in known.items():
            add_field(beam, name, value, units)


def estimated_end(start_time: str, start: SeriesStart) -> str:
    """When the series will end if all goes well, ISO 8601; its start, where nobody knows how long it takes."""
    info, acquisition = start.series or SeriesInfo(), start.acquisition or Acquisition()
    frames = (info.frames_expected or 0) * (info.share.count if info.share else 1)
    seconds = frames * (acquisition.frame_time or acquisition.count_time or 0.0)
    try:
        end = datetime.fromisoformat(start_time) + timedelta(seconds=seconds)
    except OverflowError:
        return start_time
    return end.isoformat().replace("+00:00", "Z")


def _name(group: h5py.Group, name: str | UnsetType, short_name: str | UnsetType) -> None:
    field = add_field(group, "name", name or _UNKNOWN)
    if short_name:
        field.attrs["short_name"] = short_name.replace("\0", "\\0")


def _in_zone(start_time: str, zone: str) -> str:
    """The time with the beamline's offset from UTC, which NeXus asks for; the name, where nobody knows that zone."""
    try:
        return datetime.fromisoformat(start_time).astimezone(ZoneInfo(zone)).isoformat()
    except (ValueError, OSError, KeyError):
        return zone
