"""Places of a job with workers: exact, packed or spread."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylift.domain.job import Resources, Workers, WorkerStrategy
from raylift.domain.nodes.fit import fits
from raylift.domain.nodes.gangs import Place, nodes_for_gang, place_gang

GIB = 2**30
PACK, SPREAD = WorkerStrategy.PACK, WorkerStrategy.SPREAD


def gang(
    count: int, cpus: float = 1.0, *, script: float = 1.0, gpus: float = 0.0, strategy: WorkerStrategy = PACK
) -> Resources:
    return Resources(script, GIB, 0.0, Workers(count, cpus, GIB, gpus, strategy))


def cluster(*cpus: float, gpus: float = 0.0) -> dict[str, Resources]:
    return {f"n{number}": Resources(amount, 64 * GIB, gpus) for number, amount in enumerate(cpus)}


def test_sum_counts_the_script_and_every_worker() -> None:
    wanted = Resources(1.0, GIB, 1.0, Workers(4, 2.0, 8 * GIB, 0.5))
    assert wanted.whole == Resources(9.0, 33 * GIB, 3.0)
    assert Resources(1.0, GIB).whole == Resources(1.0, GIB)


def test_packed_workers_are_beside_their_script() -> None:
    assert place_gang(gang(3), cluster(8, 2, 8)) == Place("n0", ("n0", "n0", "n0"))
    assert place_gang(gang(4), cluster(2, 4, 2)) == Place("n1", ("n1", "n1", "n1", "n0"))


def test_spread_workers_are_on_many_nodes() -> None:
    place = place_gang(gang(4, strategy=SPREAD), cluster(8, 8, 8))
    assert place is not None
    assert set(place.workers) == {"n0", "n1", "n2"}


def test_script_goes_where_it_leaves_room_for_the_workers() -> None:
    # On n0 the script would take the place of a worker.
    assert place_gang(gang(2, 4.0), cluster(4, 4, 1)) == Place("n2", ("n0", "n1"))
    assert place_gang(gang(2, 4.0), cluster(4, 4)) is None


def test_workers_with_gpus_need_nodes_with_gpus() -> None:
    nodes = {**cluster(64), "gpu": Resources(8, 64 * GIB, 2)}
    assert place_gang(gang(2, gpus=1.0), nodes) == Place("gpu", ("gpu", "gpu"))
    assert place_gang(gang(3, gpus=1.0), nodes) is None
    assert place_gang(gang(2), nodes) == Place("n0", ("n0", "n0"))


def test_shares_sum_up_what_each_node_holds() -> None:
    wanted = Resources(1.0, GIB, 0.0, Workers(3, 2.0, 4 * GIB))
    assert Place("a", ("a", "b", "b")).shares(wanted) == {"a": Resources(3.0, 5 * GIB), "b": Resources(4.0, 8 * GIB)}


def test_as_many_nodes_are_set_aside_as_the_gang_needs() -> None:
    nodes = cluster(1, 4, 0.5, 4, 4)
    assert nodes_for_gang(gang(2, 3.0), nodes, ["n0", "n2", "n4", "n1", "n3"]) == ["n0", "n4", "n1"]
    assert nodes_for_gang(gang(9, 3.0), nodes, nodes) is None


def test_job_without_workers_is_no_gang() -> None:
    with pytest.raises(ValueError, match="no gang"):
        place_gang(Resources(), cluster(4))


amounts = st.sampled_from([0.5, 1.0, 2.0, 3.0])


@given(
    st.lists(st.sampled_from([0.5, 1.0, 2.0, 4.0, 5.0]), min_size=1, max_size=4),
    st.builds(gang, st.integers(1, 4), amounts, script=amounts, strategy=st.sampled_from([PACK, SPREAD])),
)
def test_place_is_found_exactly_where_one_exists(cpus: list[float], wanted: Resources) -> None:
    nodes, its = cluster(*cpus), wanted.workers
    assert its is not None

    def holds(place: Place) -> bool:
        return all(fits(share, nodes[node]) for node, share in place.shares(wanted).items())

    found = place_gang(wanted, nodes)
    if found is None:
        assert not any(holds(Place(script, rest)) for script in nodes for rest in product(nodes, repeat=its.count))
    else:
        assert len(found.workers) == its.count
        assert holds(found)
