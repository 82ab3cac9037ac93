"""Variables as stored: compared and copied without a needless decryption."""

from __future__ import annotations

import copy
from pathlib import Path

from raylift.store.engine.key_ring import KeyRing
from raylift.store.engine.sealed import SealedVariables, seal_variables


class Counting(KeyRing):
    opened = 0

    def open(self, sealed: str) -> str:
        self.opened += 1
        return super().open(sealed)


def test_unchanged_variables_are_equal_without_decryption(tmp_path: Path) -> None:
    keys = Counting(tmp_path / "keys", made_on_demand=True)
    sealed = seal_variables({"A": "1", "B": "2"}, keys)
    first, second = SealedVariables(sealed, keys), SealedVariables(dict(sealed), keys)
    assert first == second
    assert first != SealedVariables({"A": sealed["A"]}, keys)
    assert first != {"A": "1"}
    assert keys.opened == 0


def test_equal_values_are_equal_whatever_their_encryption(tmp_path: Path) -> None:
    keys = KeyRing(tmp_path / "keys", made_on_demand=True)
    first, second = (SealedVariables(seal_variables({"A": "1"}, keys), keys) for _ in range(2))
    assert first == second == {"A": "1"}
    plain = {"A": "1"}
    assert plain == first
    assert first != SealedVariables(seal_variables({"A": "2"}, keys), keys)
    assert copy.deepcopy(first) == {"A": "1"}
    assert type(copy.deepcopy(first)) is dict
