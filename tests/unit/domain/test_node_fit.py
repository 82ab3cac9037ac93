from __future__ import annotations

import pytest

from raylift.domain.job import Resources
from raylift.domain.node_fit import fits, fits_some, shortages

NODE = Resources(4.0, 8, 1.0)


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        (NODE, []),
        (Resources(0.1 + 0.2, 8), []),
        (Resources(4.1, 8), ["cpus"]),
        (Resources(4.0, 9), ["memory"]),
        (Resources(1.0, 1, 1.5), ["gpus"]),
        (Resources(5.0, 9, 2.0), ["cpus", "memory", "gpus"]),
    ],
)
def test_a_request_fits_where_nothing_is_short(wanted: Resources, missing: list[str]) -> None:
    assert shortages(wanted, NODE) == missing
    assert fits(wanted, NODE) == (not missing)


def test_sums_of_tenths_fit() -> None:
    assert fits(Resources(0.1 + 0.2, 1), Resources(0.3, 1))


def test_resources_of_two_nodes_do_not_add_up() -> None:
    assert not fits_some(Resources(6.0, 8), [NODE, NODE])
    assert fits_some(Resources(4.0, 8), [Resources(1.0, 1), NODE])
    assert not fits_some(Resources(1.0, 1), [])
