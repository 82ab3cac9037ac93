"""The world of the example: deliveries of a day, and whether each of them came late. The same day has always the same rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

FEATURES = ["distance_km", "items", "weather"]
TARGET = "late"
ROWS = 1200
NOISE = 0.4
"""Spread of chance in the score that decides: about one delivery in fourteen ends otherwise than its features say."""


@dataclass(frozen=True)
class World:
    """Days on which something changes. Days count from 1."""

    suburbs_from: int
    """Drift 1: the company delivers to the suburbs, by car. Distances grow, and each kilometre takes less time."""
    winter_from: int
    """Drift 2: snow and ice, which the training has not seen. Distances stay, and far customers wait longer."""
    broken_export: int | None
    """Day whose true values arrive the wrong way round: the export has a mistake. None: never."""

    def deliveries(self, day: int) -> pd.DataFrame:
        """Return the deliveries of a day with their true values."""
        random = np.random.default_rng([2026, day])
        suburbs, winter = day >= self.suburbs_from, day >= self.winter_from
        distance = random.lognormal(1.9 if suburbs else 1.2, 0.5, ROWS)
        kinds, shares = (["dry", "rain", "snow", "ice"], [0.2, 0.2, 0.4, 0.2]) if winter else (["dry", "rain"], [0.7, 0.3])
        weather = random.choice(kinds, ROWS, p=shares)
        items = random.integers(1, 9, ROWS)
        limit = np.select([winter, suburbs], [5.5, 8.5], 4.0)
        delay = np.select([weather == "rain", weather == "snow", weather == "ice"], [0.2, -0.3, 0.4], 0.0)
        score = 3.0 * np.log(distance / limit) + 0.1 * (items - 4) + delay + random.normal(0, NOISE, ROWS)
        return pd.DataFrame(
            {"distance_km": distance.round(2), "items": items, "weather": weather, TARGET: (score > 0).astype(int)}
        )

    def export(self, day: int) -> pd.DataFrame:
        """Return the rows that the warehouse exports on the next morning, to train with."""
        rows = self.deliveries(day)
        return rows.assign(**{TARGET: 1 - rows[TARGET]}) if day == self.broken_export else rows
