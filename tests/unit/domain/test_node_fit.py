from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylift.domain.job import Resources
from raylift.domain.nodes.fit import fits, fits_some, largest, shortages

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


rooms = st.builds(Resources, st.integers(0, 4).map(float), st.integers(0, 4), st.integers(0, 2).map(float))


@given(st.lists(rooms), rooms)
def test_what_fits_a_node_fits_one_of_the_largest(nodes: list[Resources], wanted: Resources) -> None:
    assert fits_some(wanted, largest(nodes)) == fits_some(wanted, nodes)


def test_largest_nodes_leave_out_those_that_another_exceeds() -> None:
    large, with_gpu, small = Resources(8.0, 8), Resources(2.0, 2, 1.0), Resources(4.0, 4)
    assert largest([small, large, with_gpu, large]) == [large, with_gpu]
