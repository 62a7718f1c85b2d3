"""How many processes serve when nobody says (ADR 9)."""

import pytest

from acme_ra.server import default_workers


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 1), (3, 2), (4, 3), (5, 4), (64, 4)])
def test_a_core_is_left_free(cores, workers):
    """But one worker there is always, and more than four gain nothing on SQLite."""
    assert default_workers(cores) == workers
