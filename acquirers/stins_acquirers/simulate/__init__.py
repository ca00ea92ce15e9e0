"""Simulators of vendors' detectors, as processes that speak the vendor's own interface: `stins simulate NAME`."""
