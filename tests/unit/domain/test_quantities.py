from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylift.domain.quantities import format_bytes, parse_bytes


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("2GiB", 2 * 2**30),
        ("512Mi", 512 * 2**20),
        ("512MiB", 512 * 2**20),
        ("1.5G", 1_500_000_000),
        ("1.5 GB", 1_500_000_000),
        ("1k", 1000),
        ("1K", 1000),
        ("1Ki", 1024),
        (" 3 TiB ", 3 * 2**40),
        ("17", 17),
        ("17B", 17),
        (17, 17),
    ],
)
def test_quantities_of_kubernetes_and_ray_are_read(text: str | int, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize(
    "text",
    ["", "GiB", "1 XiB", "-1", "1e9", "0", "0.5", 0, -1, "1,5G", "ki", "1ki B C", "nan", "\uff19GiB", "\u0661G", "1.\u0665G"],
)
def test_malformed_quantity_is_refused(text: str | int) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_bytes(text)


@given(st.integers(1, 2**50))
def test_printed_quantity_is_read_as_nearly_the_same(count: int) -> None:
    # Two decimals of the unit are kept.
    assert parse_bytes(format_bytes(count)) == pytest.approx(count, rel=0.005)


@given(st.integers(1, 4096), st.sampled_from([2**10, 2**20, 2**30, 2**40]))
def test_whole_units_round_trip(count: int, unit: int) -> None:
    if count < 1024 or unit == 2**40:
        assert parse_bytes(format_bytes(count * unit)) == count * unit


def test_quantities_are_printed_in_the_largest_unit() -> None:
    counts = [1, 1023, 1024, 1536, 2**31, 5 * 2**40]
    assert [format_bytes(n) for n in counts] == ["1 B", "1023 B", "1 KiB", "1.5 KiB", "2 GiB", "5 TiB"]
