"""Pictures of frames and of counts: what is drawn, without looking at it."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from stins_ophyd.picture import draw_counts, draw_frame


def drawn(frame):
    axes = Figure().add_subplot()
    draw_frame(axes, frame, "a frame")
    return axes.images[0]


def test_a_frame_is_drawn_on_a_logarithmic_scale_from_half_a_count_to_its_highest():
    image = drawn(np.random.default_rng(0).poisson(2, (64, 64)).astype("uint16") + (np.arange(64) == 5) * 900)
    assert type(image.norm).__name__ == "LogNorm"
    assert image.norm.vmin == 0.5
    assert image.norm.vmax > 900


def test_a_beam_stop_does_not_take_the_colours_from_the_rest():
    frame = np.full((100, 100), 200.0)
    frame[:10, :10] = 0  # one per cent
    frame[50, 50] = 5000
    assert (drawn(frame).norm.vmin, drawn(frame).norm.vmax) == (100, 5000)


@pytest.mark.parametrize("frame", [np.zeros((4, 4)), np.full((4, 4), 65535, "uint16"), np.full((4, 4), np.nan)])
def test_a_frame_without_counts_can_be_drawn(frame):
    assert (drawn(frame).norm.vmin, drawn(frame).norm.vmax) == (0.5, 2)


def test_pixels_that_the_vendor_marks_stay_blank_and_modules_stand_below_each_other():
    frame = np.ones((2, 4, 8), "uint16")
    frame[1, 0, 0] = 65535
    blank = np.isnan(drawn(frame).get_array().filled(np.nan))
    assert blank.shape == (8, 8)
    assert np.argwhere(blank).tolist() == [[4, 0]]


def test_counts_have_the_errors_of_counting():
    axes = Figure().add_subplot()
    draw_counts(axes, [0, 1, 2], [100, 400, 0], label="omega (deg)")
    (bars,) = axes.containers[0].lines[2]
    lengths = [float(np.ptp(segment[:, 1])) for segment in bars.get_segments()]
    assert lengths == pytest.approx([20, 40, 0])
    assert axes.get_xlabel() == "omega (deg)"
