from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import Result

Run = Callable[..., Result]
PATH = "/mlops/environments"
HASH = "a" * 24
BUILT = {
    "hash": HASH,
    "lock": ["humanize==4.9.0", "probe==1.0"],
    "built": True,
    "in_use": True,
    "size": 2**20,
    "created_at": "2026-01-02T03:04:05Z",
    "last_used_at": "2026-01-02T03:04:05Z",
    "message": None,
}
BEGUN = BUILT | {"built": False, "in_use": False, "size": None, "created_at": None, "last_used_at": None}
NOTHING = BUILT | {"hash": None, "lock": [], "size": 0}


def test_list_shows_environments(run: Run, platform: Any):
    broken = BEGUN | {"hash": "b" * 24, "message": "it broke"}
    platform.on("GET", PATH, {"environments": [broken, BUILT], "size": 2**20, "max_size": 2**30})
    done = run("env", "list")
    header, first, second = done.stdout.splitlines()
    assert header.split("  ")[0] == "HASH"
    assert first.split()[:2] == ["b" * 24, "broken"]
    assert second.startswith(f"{HASH}  in use")
    assert "humanize==4.9.0, probe==1.0" in second
    assert "1 MiB of 1 GiB" in done.stderr
    assert json.loads(run("env", "list", "-o", "json").stdout)["max_size"] == 2**30


def test_show_takes_a_hash_or_a_job(run: Run, platform: Any):
    platform.on("GET", f"{PATH}/{HASH}", BUILT)
    platform.on("GET", f"{PATH}/job_1", BUILT)
    platform.on("GET", f"{PATH}/job_2", NOTHING)
    for name in (HASH, "job_1"):
        shown = run("env", "show", name).stdout
        assert "probe==1.0" in shown
        assert "1 MiB" in shown
    assert "nothing beyond" in run("env", "show", "job_2").stderr
    assert run("env", "show", "nope").exit_code == 3


def test_prewarm_waits_until_it_is_built(run: Run, platform: Any, tmp_path: Path):
    file = tmp_path / "requirements.txt"
    file.write_text("humanize\n")
    platform.on("POST", PATH, BEGUN, status=202)
    platform.on("GET", f"{PATH}/{HASH}", BUILT)
    done = run("env", "prewarm", "--requirements", "probe", "-r", str(file))
    assert done.exit_code == 0
    assert HASH in done.stdout
    assert [body for method, _, body, _ in platform.requests if method == "POST"] == [{"requirements": ["probe", "humanize"]}]


def test_prewarm_can_return_at_once(run: Run, platform: Any):
    platform.on("POST", PATH, BEGUN, status=202)
    done = run("env", "prewarm", "--requirements", "probe", "--no-wait", "-o", "json")
    assert json.loads(done.stdout)["built"] is False
    assert len(platform.requests) == 1


def test_failed_prewarm_ends_with_1(run: Run, platform: Any):
    platform.on("POST", PATH, BEGUN, status=202)
    platform.on("GET", f"{PATH}/{HASH}", BEGUN | {"message": "the build broke"})
    done = run("env", "prewarm", "--requirements", "probe")
    assert done.exit_code == 1
    assert "the build broke" in done.stderr


def test_prewarm_without_requirements_is_wrong_usage(run: Run, platform: Any):
    assert run("env", "prewarm").exit_code == 2
    assert platform.requests == []


def test_prewarm_of_impossible_requirements_is_refused(run: Run, platform: Any):
    platform.on("POST", PATH, {"detail": "No packages meet the requirements nope", "code": "environment_error"}, status=422)
    done = run("env", "prewarm", "--requirements", "nope")
    assert done.exit_code == 2
    assert "nope" in done.stderr


def test_prewarm_ends_at_its_timeout(run: Run, platform: Any):
    platform.on("POST", PATH, BEGUN, status=202)
    platform.on("GET", f"{PATH}/{HASH}", BEGUN)
    assert run("env", "prewarm", "--requirements", "probe", "--timeout", "0").exit_code == 5


def test_rm_deletes_an_environment(run: Run, platform: Any):
    platform.on("DELETE", f"{PATH}/{HASH}", None, status=204)
    platform.on("DELETE", f"{PATH}/{'b' * 24}", {"detail": "it is in use", "code": "environment_in_use"}, status=409)
    assert run("env", "rm", HASH).exit_code == 0
    refused = run("env", "rm", HASH, "b" * 24)
    assert refused.exit_code == 1
    assert "it is in use" in refused.stderr


def test_prewarm_prints_a_note_then_each_tenth_of_the_download(run: Run, platform: Any):
    looks = [BEGUN | {"progress": {"downloaded": done, "size": 4 * 2**20}} for done in (0, 2**20, 2**20 + 1, 3 * 2**20)]
    platform.on("POST", PATH, BEGUN | {"note": "5 GiB of CUDA"}, status=202)
    platform.on("GET", f"{PATH}/{HASH}", *looks, BUILT)
    done = run("env", "prewarm", "--requirements", "torch", "--torch-backend", "cpu")
    assert [line for line in done.stderr.splitlines() if "MiB" in line or "Note" in line] == [
        "Note: 5 GiB of CUDA",
        "0 B of 4 MiB downloaded",
        "1 MiB of 4 MiB downloaded",
        "3 MiB of 4 MiB downloaded",
    ]
    assert platform.requests[0][2] == {"requirements": ["torch"], "torch_backend": "cpu"}


def test_show_prints_shared_sizes(run: Run, platform: Any):
    platform.on("GET", f"{PATH}/{HASH}", BUILT | {"own_size": 2**18, "shared_size": 3 * 2**18})
    assert "1 MiB: 256 KiB of its own, 768 KiB shared" in run("env", "show", HASH).stdout
