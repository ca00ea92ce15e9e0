"""One is no plural."""

import pytest

from stins.words import how_many, spanned


@pytest.mark.parametrize(("count", "said"), [(0, "0 frames"), (1, "1 frame"), (2, "2 frames")])
def test_how_many_there_are(count, said):
    assert how_many(count, "frame") == said


def test_which_they_are():
    assert (spanned("frame", 3, 3), spanned("frame", 3, 5)) == ("frame 3", "frames 3 to 5")
