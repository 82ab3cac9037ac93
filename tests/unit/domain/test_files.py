from __future__ import annotations

import subprocess
from hashlib import sha256
from pathlib import Path

from raylift.domain.models.files import difference, digest_of
from raylift.engines.model_files.digests import digests_below


def test_digest_is_that_of_the_list_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "MLmodel").write_text("flavors:")
    (tmp_path / "code" / "a.py").write_text("x = 1")
    (tmp_path / "b").write_bytes(b"\0" * (3 * 1024 * 1024))
    listed = subprocess.check_output(["sha256sum", "MLmodel", "b", "code/a.py"], cwd=tmp_path)
    assert digest_of(digests_below(tmp_path)) == sha256(listed).hexdigest()


def test_difference_names_the_files_by_what_happened() -> None:
    registered = {"MLmodel": "1", "model.pkl": "2", "conda.yaml": "3"}
    assert difference(registered, dict(registered)) is None
    found = {"MLmodel": "1", "model.pkl": "other", "code/evil.py": "4"}
    assert difference(registered, found) == "model.pkl changed; conda.yaml missing; code/evil.py added"
    many = {f"part-{n}": "1" for n in range(9)}
    assert difference(many, {}) == "part-0, part-1, part-2 and 6 more missing"
    # MLflow's client writes its own note into its copy.
    assert difference(registered, {**registered, "registered_model_meta": "9"}) is None
