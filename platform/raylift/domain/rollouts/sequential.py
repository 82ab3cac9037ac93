"""Sequential test of two failure rates, valid after every request.

The test martingale of Turner, Ly and Grünwald, "Generic E-variables for exact sequential k-sample tests that allow for
optional stopping" (arXiv 2106.02693), for two Bernoulli streams. Requests come in blocks with some of both versions. A block
multiplies the evidence by its likelihood under an alternative (champion ``a``, candidate ``b``), over its likelihood under
the one rate between them, ``(n_a a + n_b b) / (n_a + n_b)``. Where the candidate fails at most as often as the champion, the
expectation of this factor is at most 1 for blocks of every size. So, by Ville's inequality, the evidence ever reaches
``1 / p`` with a probability of at most ``p``.

``a`` and ``b`` are estimates from the blocks before. Where they do not say that the candidate is worse, the factor is 1. The
first block, which may be a day of feedback, has the mean of the factors of a few guesses: it has the same property, and a
single guess that is far off would cost more evidence than the next days bring.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

_PRIOR_REQUESTS: Final = 20.0
"""Weight of the estimates before any request: champion 1 %, candidate 5 %. They cost power where they are wrong, not safety."""
_PRIOR_CHAMPION: Final = 0.01
_PRIOR_CANDIDATE: Final = 0.05
_FIRST_GUESSES: Final = ((_PRIOR_CHAMPION, _PRIOR_CANDIDATE), (0.05, 0.2), (0.15, 0.3), (0.3, 0.45), (0.5, 0.65))
_LEAST: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Ended requests of one version, and those among them that failed."""

    requests: int = 0
    failures: int = 0

    @property
    def rate(self) -> float:
        return self.failures / self.requests if self.requests else 0.0

    def __add__(self, other: Outcomes) -> Outcomes:
        return Outcomes(self.requests + other.requests, self.failures + other.failures)


@dataclass(frozen=True, slots=True)
class SequentialTest:
    """The test's state. The hypothesis that it may reject: the candidate fails at most as often as the champion."""

    champion: Outcomes = Outcomes()
    candidate: Outcomes = Outcomes()
    log_evidence: float = 0.0
    strongest: float = 0.0
    """The greatest ``log_evidence`` so far."""

    @property
    def p_value(self) -> float:
        """Always-valid p-value: it may be compared with a level at any time, and as often as one likes."""
        return min(1.0, math.exp(-self.strongest))

    def after(self, champion: Outcomes, candidate: Outcomes) -> SequentialTest:
        """Return the test with one more block. A block without requests of one of the two is no evidence."""
        log_evidence = self.log_evidence + self._log_factor(champion, candidate)
        return SequentialTest(
            self.champion + champion, self.candidate + candidate, log_evidence, max(self.strongest, log_evidence)
        )

    def after_alone(self, candidate: Outcomes, *, tolerance: float) -> SequentialTest:
        """Return the test with requests of the candidate while it answers all of them.

        The champion's rate so far, with ``tolerance`` added, takes the place of its answers. This part of the evidence has no
        guarantee: an estimate is no known rate.
        """
        null = min(_estimate(self.champion, _PRIOR_CHAMPION) + tolerance, 1.0 - _LEAST)
        b = _estimate(self.candidate, _PRIOR_CANDIDATE)
        log_evidence = self.log_evidence + (_log_ratio(candidate, b, null) if b > null else 0.0)
        return replace(
            self, candidate=self.candidate + candidate, log_evidence=log_evidence, strongest=max(self.strongest, log_evidence)
        )

    def _log_factor(self, champion: Outcomes, candidate: Outcomes) -> float:
        if not (self.champion.requests or self.candidate.requests):
            factors = [_log_likelihood_ratio(champion, candidate, a, b) for a, b in _FIRST_GUESSES]
            most = max(factors)
            return most + math.log(sum(math.exp(factor - most) for factor in factors) / len(factors))
        a = _estimate(self.champion, _PRIOR_CHAMPION)
        b = _estimate(self.candidate, _PRIOR_CANDIDATE)
        return _log_likelihood_ratio(champion, candidate, a, b) if b > a else 0.0


def _log_likelihood_ratio(champion: Outcomes, candidate: Outcomes, a: float, b: float) -> float:
    every = champion.requests + candidate.requests
    if not every:
        return 0.0
    null = (champion.requests * a + candidate.requests * b) / every
    return _log_ratio(champion, a, null) + _log_ratio(candidate, b, null)


def _estimate(seen: Outcomes, prior: float) -> float:
    rate = (seen.failures + prior * _PRIOR_REQUESTS) / (seen.requests + _PRIOR_REQUESTS)
    return min(max(rate, _LEAST), 1.0 - _LEAST)


def _log_ratio(block: Outcomes, rate: float, null: float) -> float:
    successes = block.requests - block.failures
    return block.failures * math.log(rate / null) + successes * math.log((1.0 - rate) / (1.0 - null))
