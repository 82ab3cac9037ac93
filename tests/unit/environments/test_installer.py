from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raylift.engines.environments.uv.commands import one_line, uv_environment


def _environment(given: dict[str, str], **options: Any) -> dict[str, str]:
    nothing: dict[str, Any] = {"cache_dir": None, "find_links": None, "defaults": {}}
    return uv_environment(given, **nothing | options)


def test_environment_names_no_other_interpreter() -> None:
    assert _environment({"HOME": "/h", "PYTHONPATH": "/x", "VIRTUAL_ENV": "/v", "UV_PYTHON": "3.9"}) == {"HOME": "/h"}


def test_cache_of_the_caller_wins() -> None:
    assert _environment({}, cache_dir=Path("/c"))["UV_CACHE_DIR"] == "/c"
    assert _environment({"UV_CACHE_DIR": "/mine"}, cache_dir=Path("/c"))["UV_CACHE_DIR"] == "/mine"
    assert "UV_CACHE_DIR" not in _environment({"UV_NO_CACHE": "1"}, cache_dir=Path("/c"))


def test_settings_of_the_user_override_defaults() -> None:
    assert _environment({"UV_HTTP_TIMEOUT": "99"}, defaults={"UV_HTTP_TIMEOUT": "1"})["UV_HTTP_TIMEOUT"] == "99"


@pytest.mark.parametrize(
    ("given", "name", "expected"),
    [
        ({"PIP_INDEX_URL": "https://index.example"}, "UV_DEFAULT_INDEX", "https://index.example"),
        ({"PIP_INDEX_URL": "https://a.example", "UV_INDEX_URL": "https://b.example"}, "UV_DEFAULT_INDEX", None),
        ({"PIP_EXTRA_INDEX_URL": "https://a.example https://b.example"}, "UV_INDEX", "https://a.example https://b.example"),
        ({"PIP_CERT": "/ca.pem"}, "SSL_CERT_FILE", "/ca.pem"),
        ({"PIP_CERT": "/ca.pem", "SSL_CERT_FILE": "/own.pem"}, "SSL_CERT_FILE", "/own.pem"),
        ({"PIP_FIND_LINKS": "/ https://wheels.example /not/there"}, "UV_FIND_LINKS", "/,https://wheels.example"),
        ({"PIP_FIND_LINKS": "/", "UV_FIND_LINKS": "/mine"}, "UV_FIND_LINKS", "/mine"),
        ({}, "UV_FIND_LINKS", None),
    ],
)
def test_settings_of_pip_apply_to_uv(given: dict[str, str], name: str, expected: str | None) -> None:
    assert _environment(given).get(name) == expected


def test_own_find_links_come_first() -> None:
    assert _environment({"UV_FIND_LINKS": "/mine"}, find_links=Path("/stand-ins"))["UV_FIND_LINKS"] == "/stand-ins,/mine"


@pytest.mark.parametrize(
    "report",
    [
        "error: No solution found when resolving dependencies\n  cause: Because a was not\n    found, b.\n\nhint: c\n",
        "\x1b[31m  \u00d7 No solution found when resolving dependencies:\n"
        "  \u2570\u2500\u25b6 Because a was not\n      found, b.\x1b[0m\n\nhint: c",
    ],
)
def test_report_of_uv_becomes_one_line(report: str) -> None:
    assert one_line(report) == "Because a was not found, b. hint: c"


def test_long_report_keeps_both_ends() -> None:
    text = one_line("start " + "x" * 10_000 + " end")
    assert len(text) < 2100
    assert text.startswith("start")
    assert text.endswith("end")
