"""What tests of several commands ask for."""

import matplotlib
import pytest

from scratchvae import plotting


@pytest.fixture(scope="module", autouse=True)
def _coarse_pictures():
    """Saved pictures have few pixels: these tests ask of a file only whether it is there."""
    with matplotlib.rc_context({"savefig.dpi": 25}):
        yield


@pytest.fixture
def unsaved(monkeypatch):
    """Pictures are drawn but written to no file: enough for a test that asks which pictures there are."""
    monkeypatch.setattr(plotting, "save_figure", lambda figure, path: None)
