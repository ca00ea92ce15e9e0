"""The detectors of DECTRIS: the same device, with their settings as signals."""

import math
from typing import Any

from ophyd import Component as Cpt
from ophyd import Kind

from .device import StinsDetector
from .settings import SettingSignal
from .trigger_info import DetectorTrigger
from .triggering import Summing, Triggering

__all__ = ["EigerDetector", "PilatusDetector"]


def _setting(doc: str) -> Any:
    """A setting of the acquirer's, by its name there. Until that has it set, it is left out of the documents."""
    return Cpt(SettingSignal, value=math.nan, kind=Kind.omitted, doc=doc)


class EigerDetector(StinsDetector):
    """EIGER, EIGER2 or PILATUS4. Each threshold that is enabled beside the first has an image of its own in each event.

    `exposure_s`, `period_s` and `incident_energy` are those of every detector. What the signals may be is told by
    `stins acquirer --describe eiger`; their units come with the documents.
    """

    backend = "eiger"
    triggering = Triggering(
        cables={
            DetectorTrigger.EXTERNAL_EDGE: {"cable_mode": "exts"},
            DetectorTrigger.EXTERNAL_LEVEL: {"cable_mode": "exte"},
        },
        # Of the modes of SIMPLON only extg puts several exposures into an image.
        sums={DetectorTrigger.EXTERNAL_LEVEL: Summing("exposures_per_image", {"cable_mode": "extg"})},
    )

    trigger_start_delay_s = _setting("from the trigger to the first exposure")
    command_mode = _setting("what a trigger by command starts: ints or inte")
    cable_mode = _setting("what a pulse of an external trigger starts: exts, exte or extg")
    exposures_per_image = _setting("pulses of a frame of extg")

    threshold_1_energy = _setting("energy above which threshold 1 counts")
    threshold_1_enabled = _setting("whether frames have the channel threshold_1")
    threshold_2_energy = _setting("energy above which threshold 2 counts")
    threshold_2_enabled = _setting("whether frames have the channel threshold_2")
    threshold_3_energy = _setting("energy above which threshold 3 counts")
    threshold_3_enabled = _setting("whether frames have the channel threshold_3")
    threshold_4_energy = _setting("energy above which threshold 4 counts")
    threshold_4_enabled = _setting("whether frames have the channel threshold_4")
    difference_enabled = _setting("whether frames have the channel difference")
    difference_lower = _setting("number of its lower threshold")
    difference_upper = _setting("number of its upper threshold")

    compression = _setting("how the detector compresses: bslz4, lz4 or none")
    counting_mode = _setting("normal or retrigger")
    auto_summation = _setting("whether long exposures are summed from several readouts")
    countrate_correction = _setting("whether counts that were lost at high rates are made up for")
    flatfield_correction = _setting("whether counts are multiplied by the flat field")
    pixel_mask = _setting("whether bad pixels get the value that says so")
    mask_to_zero = _setting("whether they get 0 instead")
    virtual_pixel_correction = _setting("whether counts of the large pixels between chips are shared out")
    roi_mode = _setting("region of interest, by SIMPLON's name")
    roi_y_size = _setting("rows of the region lines")
    roi_bit_depth = _setting("bits of a pixel in the region lines")

    beam_center_x = _setting("where the beam hits, along the columns")
    beam_center_y = _setting("where the beam hits, along the rows")
    distance = _setting("from the sample to the detector")


class PilatusDetector(StinsDetector):
    """PILATUS2 or PILATUS3.

    `exposure_s`, `period_s` and `incident_energy` are those of every detector. Changing an energy trims the detector,
    which takes up to two minutes: the setting is accepted at once, and the detector can't be armed until that is done.
    What the signals may be is told by `stins acquirer --describe pilatus`.
    """

    backend = "pilatus"
    triggering = Triggering(
        cables={
            DetectorTrigger.EXTERNAL_EDGE: {"cable_mode": "trigger"},
            DetectorTrigger.EXTERNAL_LEVEL: {"cable_mode": "gate"},
        },
        sums={
            DetectorTrigger.INTERNAL: Summing("exposures_per_frame"),
            DetectorTrigger.SOFTWARE: Summing("exposures_per_frame"),
        },
    )

    exposures_per_frame = _setting("exposures that are summed in the detector")
    cable_mode = _setting("what a pulse of an external trigger does: trigger or gate")
    delay_s = _setting("from the external trigger to the first exposure")
    threshold_energy = _setting("energy above which photons are counted")
    gain = _setting("lowG, midG, highG or uhighG")
    compression = _setting("how frames are sent: cbf, bslz4 or none")
    gap_fill = _setting("value of pixels between modules")
    beam_center_x = _setting("where the beam hits, along the columns")
    beam_center_y = _setting("where the beam hits, along the rows")
    distance = _setting("from the sample to the detector")
    header_string = _setting("text for the header of each image")
