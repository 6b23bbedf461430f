"""A run to compare with."""

import pytest
from builders import train


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run."""
    run_dir = tmp_path_factory.mktemp("whole")
    train(run_dir)
    return run_dir
