"""Checks of traffic tables, and the choice of a version for a request."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from raylift.domain.traffic import (
    Route,
    Sticky,
    Target,
    TrafficTable,
    choose_sticky,
    choose_weighted,
    is_alias,
    problems_of,
    target_of,
    weights_of,
)


def table(*routes: tuple[str, float], shadow: tuple[str, ...] = (), sticky: Sticky | None = None) -> TrafficTable:
    return TrafficTable(
        tuple(Route(target_of(text), weight) for text, weight in routes), tuple(target_of(text) for text in shadow), sticky
    )


class TestProblems:
    @pytest.mark.parametrize(
        "right",
        [
            table(("3", 1.0)),
            table(("3", 0.0), ("4", 0.5)),
            table(("champion", 90), ("4", 10), shadow=("5", "next"), sticky=Sticky(header="X-User")),
            table(("3", 1), sticky=Sticky(field="params.user_id")),
        ],
    )
    def test_valid_tables_have_no_problem(self, right: TrafficTable) -> None:
        assert problems_of(right) == []

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            (table(), "routes"),
            (table(("3", 0.0), ("4", 0.0)), "routes"),
            (table(("3", -1.0)), "routes[0].weight"),
            (table(("3", 1.0), ("4", float("nan"))), "routes[1].weight"),
            (table(("3", 1e10)), "routes[0].weight"),
            (table(("3", 1e-10), ("4", 1.0)), "routes[0].weight"),
            (table(("3", 1.0), ("3", 2.0)), "routes[1]"),
            (table(("3", 1.0), shadow=("3",)), "shadow[0]"),
            (table(("3", 1.0), shadow=("5", "5")), "shadow[1]"),
            (table(("03", 1.0)), "routes[0]"),
            (table(("v3", 1.0)), "routes[0]"),
            (table(("latest", 1.0)), "routes[0]"),
            (table(("a/b", 1.0)), "routes[0]"),
            (TrafficTable((Route(Target(), 1.0),)), "routes[0]"),
            (TrafficTable((Route(Target("3", "champion"), 1.0),)), "routes[0]"),
            (table(("3", 1.0), sticky=Sticky()), "sticky"),
            (table(("3", 1.0), sticky=Sticky("X-User", "user")), "sticky"),
            (table(("3", 1.0), sticky=Sticky(header="X User")), "sticky.header"),
            (table(("3", 1.0), sticky=Sticky(field="a..b")), "sticky.field"),
            (table(("3", 1.0), sticky=Sticky(field="a\0")), "sticky.field"),
        ],
    )
    def test_problems_of_a_table_are_named(self, wrong: TrafficTable, field: str) -> None:
        assert [problem.field for problem in problems_of(wrong)] == [field]


@pytest.mark.parametrize(
    ("seen", "sole"),
    [
        (table(("3", 1.0)), Target("3")),
        (table(("3", 1.0), ("4", 0.0)), Target("3")),
        (table(("champion", 1.0), sticky=Sticky(header="X-User")), Target(alias="champion")),
        (table(("3", 1.0), ("4", 1.0)), None),
        (table(("3", 1.0), shadow=("4",)), None),
    ],
)
def test_only_route_of_a_table_gets_every_request(seen: TrafficTable, sole: Target | None) -> None:
    assert seen.sole_target == sole


class TestDrawing:
    def test_random_choice_follows_the_weights(self) -> None:
        chances = random.Random(7)
        counts = Counter(choose_weighted({"3": 90.0, "4": 10.0}, chances.random()) for _ in range(20_000))
        assert abs(counts["4"] / 20_000 - 0.1) < 0.01

    def test_first_and_last_random_numbers_have_a_route(self) -> None:
        weights = {"3": 0.1, "4": 0.2, "5": 0.7}
        assert choose_weighted(weights, 0.0) == "3"
        assert choose_weighted(weights, 1.0 - 2**-53) == "5"

    def test_shares_of_two_names_of_one_version_add_up(self) -> None:
        assert weights_of([("3", 1.0), ("4", 0.0), ("3", 2.0), ("5", 1.0)]) == {"3": 3.0, "5": 1.0}


class TestKeeping:
    KEYS = tuple(f"user-{number}" for number in range(20_000))

    def test_sticky_choice_follows_the_weights(self) -> None:
        counts = Counter(choose_sticky({"3": 90.0, "4": 10.0}, key, salt="m") for key in self.KEYS)
        assert abs(counts["4"] / len(self.KEYS) - 0.1) < 0.01

    def test_sticky_choice_does_not_depend_on_the_order_of_routes(self) -> None:
        one, other = {"3": 2.0, "4": 1.0}, {"4": 1.0, "3": 2.0}
        assert all(choose_sticky(one, key, salt="m") == choose_sticky(other, key, salt="m") for key in self.KEYS[:500])

    def test_sticky_choice_is_stable(self) -> None:
        """Golden values: the same across releases and machines."""
        weights = {"3": 50.0, "4": 30.0, "5": 20.0}
        assert "".join(choose_sticky(weights, key, salt="churn") for key in self.KEYS[:20]) == GOLDEN

    def test_changed_weights_move_as_few_keys_as_possible(self) -> None:
        before, after = {"3": 90.0, "4": 10.0}, {"3": 80.0, "4": 20.0}
        moves = Counter((choose_sticky(before, key, salt="m"), choose_sticky(after, key, salt="m")) for key in self.KEYS)
        assert moves["4", "3"] == 0
        assert abs(moves["3", "4"] / len(self.KEYS) - 0.1) < 0.01

    def test_added_or_removed_version_moves_no_key_between_others(self) -> None:
        three, two = {"3": 1.0, "4": 1.0, "5": 1.0}, {"3": 1.0, "4": 1.0}
        moves = Counter((choose_sticky(three, key, salt="m"), choose_sticky(two, key, salt="m")) for key in self.KEYS)
        assert moves["3", "4"] == moves["4", "3"] == 0

    def test_sticky_choices_of_models_are_independent(self) -> None:
        weights = {"1": 1.0, "2": 1.0}
        same = sum(choose_sticky(weights, key, salt="a") == choose_sticky(weights, key, salt="b") for key in self.KEYS)
        assert abs(same / len(self.KEYS) - 0.5) < 0.02


def test_numbers_are_versions_and_other_names_are_aliases() -> None:
    assert target_of("3") == Target(version="3")
    assert target_of("champion") == Target(alias="champion")
    assert target_of("٣") == Target(alias="٣")


@pytest.mark.parametrize(("text", "is_one"), [("a-b_1", True), ("latest", False), ("V12", False), ("", False), ("a b", False)])
def test_alias_names_follow_mlflow_s_rules(text: str, is_one: bool) -> None:
    assert is_alias(text) is is_one


GOLDEN = "35433434333455543444"
