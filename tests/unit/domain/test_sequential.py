"""The sequential test: false alarms under repeated looks, power, and numbers by hand. Simulations are seeded."""

from __future__ import annotations

import math

import numpy as np
import pytest

from raylift.domain.rollouts.sequential import Outcomes, SequentialTest

LEVEL = 0.05
RUNS = 400
LOOKS = 100


def looks_until_rejection(
    rng: np.random.Generator, champion: float, candidate: float, *, requests: int = 100, share: float = 0.05
) -> int | None:
    """Return the look at which the test rejects, with random requests a look; None where it never does."""
    test = SequentialTest()
    for look in range(1, LOOKS + 1):
        new = rng.binomial(requests, share)
        old = requests - new
        test = test.after(
            Outcomes(int(old), int(rng.binomial(old, champion))), Outcomes(int(new), int(rng.binomial(new, candidate)))
        )
        if test.p_value < LEVEL:
            return look
    return None


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.02, 0.3])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_equal_versions_are_seldom_rejected_though_each_look_may(rate: float, share: float) -> None:
    rng = np.random.default_rng(20_261_130)
    alarms = sum(looks_until_rejection(rng, rate, rate, share=share) is not None for _ in range(RUNS))
    # Ville's inequality: at most LEVEL; plus three standard errors of the simulation.
    assert alarms / RUNS <= LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / RUNS)


def test_better_candidate_is_seldom_rejected() -> None:
    rng = np.random.default_rng(1)
    alarms = sum(looks_until_rejection(rng, 0.05, 0.01) is not None for _ in range(RUNS))
    assert alarms / RUNS <= LEVEL


@pytest.mark.parametrize(
    ("champion", "candidate", "share", "looks"),
    [(0.01, 0.5, 0.05, 20), (0.0, 0.2, 0.05, 40), (0.01, 0.03, 0.5, 60), (0.001, 0.02, 0.25, 60)],
)
def test_worse_candidate_is_rejected_soon(champion: float, candidate: float, share: float, looks: int) -> None:
    rng = np.random.default_rng(2)
    found = [looks_until_rejection(rng, champion, candidate, share=share) for _ in range(100)]
    in_time = sum(look is not None and look <= looks for look in found)
    assert in_time >= 90, sorted(look or LOOKS + 1 for look in found)


def test_one_large_block_is_enough() -> None:
    test = SequentialTest().after(Outcomes(100, 0), Outcomes(100, 90))
    assert test.p_value < 1e-6


def test_factor_of_the_first_block_by_hand() -> None:
    # The mean over the guesses; one request each gives a common rate in the middle, e.g. 3 % of 1 and 5 %.
    test = SequentialTest().after(Outcomes(1, 0), Outcomes(1, 1))
    guesses = [(0.01, 0.05), (0.05, 0.2), (0.15, 0.3), (0.3, 0.45), (0.5, 0.65)]
    factors = [(1 - a) / (1 - (a + b) / 2) * b / ((a + b) / 2) for a, b in guesses]
    assert math.exp(test.log_evidence) == pytest.approx(sum(factors) / 5)


def test_worse_answers_are_found_in_the_feedback_of_a_few_days() -> None:
    """A block is a day: with a guess of 1 and 5 % alone, the first day would cost the evidence of the next fifteen."""
    test = SequentialTest()
    for _ in range(3):
        test = test.after(Outcomes(840, 252), Outcomes(360, 144))
    assert test.p_value < 0.01


@pytest.mark.parametrize("test", [SequentialTest(), SequentialTest(Outcomes(50, 2), Outcomes(20, 4))])
def test_expectation_of_a_block_is_at_most_one(test: SequentialTest) -> None:
    for rate in (0.001, 0.05, 0.12, 0.5):
        expected = 0.0
        for old in range(4):
            for new in range(3):
                chance = math.comb(3, old) * math.comb(2, new) * rate ** (old + new) * (1 - rate) ** (5 - old - new)
                expected += chance * math.exp(test.after(Outcomes(3, old), Outcomes(2, new)).log_evidence)
        assert expected <= 1 + 1e-12


def test_block_without_the_champion_is_no_evidence() -> None:
    assert SequentialTest().after(Outcomes(), Outcomes(50, 50)).log_evidence == pytest.approx(0.0)


def test_candidate_alone_is_compared_with_the_champions_rate() -> None:
    test = SequentialTest(Outcomes(2000, 20), Outcomes(200, 2))
    same = test
    for _ in range(30):
        same = same.after_alone(Outcomes(100, 1), tolerance=0.005)
    assert same.p_value > LEVEL
    for _ in range(30):
        test = test.after_alone(Outcomes(100, 30), tolerance=0.005)
    assert test.p_value < 1e-6


def test_strongest_evidence_counts_and_later_luck_does_not() -> None:
    test = SequentialTest().after(Outcomes(100, 0), Outcomes(100, 20))
    later = test.after(Outcomes(100, 50), Outcomes(100, 0))
    assert later.p_value == test.p_value
    assert later.candidate == Outcomes(200, 20)
