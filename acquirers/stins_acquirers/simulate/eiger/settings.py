"""All configuration of the detector: the `config` of its modules, and the arrays."""

import msgspec
import numpy as np

from .arming import region
from .arrays import Arrays
from .dependents import MAY_CHANGE, settle
from .detector_keys import array_keys, detector_keys
from .keys import Key, RefusedError
from .models import FAMILIES, MODELS, Family, Model
from .module_keys import filewriter_keys, monitor_keys, stream_keys
from .options import EigerOptions
from .table import Table

__all__ = ["Settings"]


class Settings:
    """The tables by module: `detector`, `stream`, `monitor`, `filewriter`."""

    def __init__(self, options: EigerOptions) -> None:
        self.model, self.family = _model(options)
        self.arrays = Arrays(self.model, self.family)
        self.array_names = array_keys(self.family)
        self.detector = _detector_table(self.model, self.family)
        self.stream = Table("stream/config", stream_keys(options.api))
        self.monitor = Table("monitor/config", monitor_keys())
        self.filewriter = Table("filewriter/config", filewriter_keys())
        self.count_excluded()

    def reset_detector(self) -> None:
        """The detector's own configuration as after power-up."""
        self.arrays.reset()
        self.detector.reset()
        self.count_excluded()

    def reset(self) -> None:
        """All configuration as after power-up."""
        self.reset_detector()
        for table in (self.stream, self.monitor, self.filewriter):
            table.reset()

    def count_excluded(self) -> None:
        """Brings the numbers of masked pixels up to date."""
        values = dict(self.detector.values)
        for name, array in self.array_names.items():
            key = name.removesuffix("pixel_mask") + "number_of_excluded_pixels"
            if name.endswith("pixel_mask") and key in values:
                values[key] = int(np.count_nonzero(self.arrays.get(array, region(values))))
        self.detector.values = values


def _model(options: EigerOptions) -> tuple[Model, Family]:
    model = MODELS[options.model]
    family = FAMILIES[model.family]
    if options.api == "1.6.0" and model.family != "eiger1":
        raise RefusedError(f"api: got 1.6.0 for {options.model}; only EIGER1 had that version")
    if options.shape is None:
        return model, family
    rows, columns = options.shape
    # Two by two modules with a gap between them, so that even a small image has gaps.
    gap = (max(1, rows // 16), max(1, columns // 16))
    module = ((rows - gap[0] + 1) // 2, (columns - gap[1] + 1) // 2)
    replace = msgspec.structs.replace
    return replace(model, shape=options.shape), replace(family, module=module, gap=gap)


def _detector_table(model: Model, family: Family) -> Table:
    keys = detector_keys(model, family)
    values = {name: key.value for name, key in keys.items()}
    for name in ("photon_energy", "roi_mode"):
        values = settle(model, family, values, name)
    settled: list[Key] = [msgspec.structs.replace(key, value=values[name]) for name, key in keys.items()]
    return Table("detector/config", settled, lambda values, changed: settle(model, family, values, changed), MAY_CHANGE)
