"""What tests of several commands ask for."""

import pytest

from scratchvae import plotting


@pytest.fixture
def unsaved(monkeypatch):
    """Pictures are drawn but written to no file: enough for a test that asks which pictures there are."""
    monkeypatch.setattr(plotting, "save_figure", lambda figure, path: None)
