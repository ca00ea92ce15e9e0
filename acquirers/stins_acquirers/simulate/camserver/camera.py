"""What camserver has been told, and what it says of the detector. No I/O."""

from datetime import datetime

from .models import MODELS
from .options import PilatusOptions

__all__ = ["Camera"]

#: How headers write what `mxsettings` sets; whatever else is not here: as it is.
_ANGLES = ("start_angle", "angle_increment", "phi", "omega", "chi", "kappa")
_REMARKS = {
    "wavelength": "{0} {1} A",
    "detector_distance": "{0} {1} m",
    "beam_xy": "{0} ({1}) pixels",
    **dict.fromkeys(_ANGLES, "{0} {1} deg."),
}
_SERIAL = "S/N 00-0000"


class Camera:
    """The values that commands set; times in s, energies in eV."""

    def __init__(self, options: PilatusOptions) -> None:
        self.model = MODELS[options.model]
        self.shape = options.shape or self.model.shape
        self.images = 1
        self.exposure_s = 1.0
        self.period_s = 1.05
        self.exposures_per_frame = 1
        self.delay_s = 0.0
        self.gap_fill = 0
        self.energy: int | None = None
        self.threshold: int | None = None
        self.gain = "autog"
        self.remarks: dict[str, str] = {}
        self.header = ""
        self.path = options.folder

    @property
    def name(self) -> str:
        """The detector, as it calls itself."""
        return f"{self.model.family.name} {self.model.size}, {_SERIAL}"

    def set_threshold(self, energy: int, threshold: int, gain: str | None) -> None:
        """Trims the detector; numbers of images and gaps are forgotten over it, as in the real one."""
        self.energy, self.threshold, self.gain = energy, threshold, gain or "autog"
        self.images, self.gap_fill = 1, 0

    def image_header(self, number: int, began: datetime, folder: str) -> list[str]:
        """What stands in the header of an image of a series."""
        own = [
            f"Detector: {self.name}",
            f"{began.strftime(self.model.family.date)}.{began.microsecond // 1000:03d}",
            "Pixel_size 172e-6 m x 172e-6 m",
            "Silicon sensor, thickness 0.000450 m",
            f"Exposure_time {self.exposure_s:.7f} s",
            f"Exposure_period {self.period_s:.7f} s",
            "Tau = 124.0e-09 s",
            "Count_cutoff 1221026 counts",
            f"Threshold_setting: {self.threshold or 0} eV",
            f"Gain_setting: {self.gain} (vrf = -0.200)",
            "N_excluded_pixels = 0",
            "Excluded_pixels: (nil)",
            "Flat_field: (nil)",
            "Trim_file: (nil)",
            f"Image_path: {folder}",
        ]
        remarks = [
            _REMARKS.get(key.lower(), "{0} {1}").format(key, value) for key, value in self._turned(number).items()
        ]
        return own + remarks + ([self.header] if self.header else [])

    def _turned(self, number: int) -> dict[str, str]:
        """The remarks; the angle is counted on from the first image of a series."""
        names = {key.lower(): key for key in self.remarks}
        if not {"start_angle", "angle_increment"} <= names.keys():
            return self.remarks
        start, increment = (float(self.remarks[names[key]]) for key in ("start_angle", "angle_increment"))
        return self.remarks | {names["start_angle"]: f"{start + number * increment:.4f}"}
