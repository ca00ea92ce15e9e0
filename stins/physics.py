"""Constants of nature."""

from typing import Final

__all__ = ["HC_EV_ANGSTROM"]

#: Planck's constant times the speed of light, in eV angstrom (CODATA 2018): wavelength times energy of a photon.
HC_EV_ANGSTROM: Final = 12398.419843320026
