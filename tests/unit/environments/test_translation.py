from __future__ import annotations

from typing import Any

import pytest

from raylift.domain.errors import InvalidRequest
from raylift.engines.environments.runtime_env import PLUGIN_NAME
from raylift.engines.environments.translation import translate_runtime_env

PACKAGES = ("humanize==4.9.0", "numpy>=2")


@pytest.mark.parametrize("field", ["pip", "uv"])
@pytest.mark.parametrize(
    "value",
    [
        list(PACKAGES),
        {"packages": list(PACKAGES)},
        {"packages": "humanize==4.9.0\nnumpy>=2"},
        "humanize==4.9.0\nnumpy>=2\n",
        "# what it needs\r\n\r\nhumanize==4.9.0  # the old one\r\nnumpy \\\r\n>=2",
    ],
)
def test_every_form_of_package_lists_is_translated(field: str, value: Any) -> None:
    requirements, rest = translate_runtime_env({field: value})
    assert tuple(line.replace(" ", "") for line in requirements) == PACKAGES
    assert rest == {}


def test_runtime_env_of_ray_s_client_is_translated() -> None:
    """Ray's RuntimeEnv fills in defaults before it is sent."""
    pip = {"packages": ["a"], "pip_check": False, "pip_version": "==24.0"}
    pip["pip_install_options"] = ["--disable-pip-version-check", "--no-cache-dir"]
    uv = {"packages": ["a"], "uv_check": False, "uv_pip_install_options": ["--no-cache", "--link-mode=hardlink"]}
    assert translate_runtime_env({"pip": pip}) == translate_runtime_env({"uv": uv}) == (("a",), {})


def test_other_fields_are_returned_unchanged() -> None:
    rest = {"env_vars": {"A": "1"}, "working_dir": "gcs://x.zip", "config": {"setup_timeout_seconds": 9}}
    given = {**rest, "pip": ["a"]}
    assert translate_runtime_env(given) == (("a",), rest)
    assert given["pip"] == ["a"]
    assert translate_runtime_env(rest) == ((), rest)
    assert translate_runtime_env({}) == ((), {})


@pytest.mark.parametrize("empty", [None, [], {}, ""])
def test_empty_runtime_env_has_no_requirements(empty: Any) -> None:
    assert translate_runtime_env({"pip": empty, "uv": empty, "conda": empty}) == ((), {})


@pytest.mark.parametrize(
    ("runtime_env", "field", "says"),
    [
        ({"conda": "base"}, "conda", "pip requirements"),
        ({"conda": {"dependencies": ["pip"]}, "pip": ["a"]}, "conda", "pip requirements"),
        ({"pip": ["a"], "uv": ["b"]}, "pip", "not both"),
        ({PLUGIN_NAME: {"lock": ["a==1"], "root": "/"}}, PLUGIN_NAME, "by the platform"),
        ({"pip": 3}, "pip", "list of requirements"),
        ({"pip": ["a", 3]}, "pip", "list of requirements"),
        ({"uv": {"packages": 3}}, "uv.packages", "list of requirements"),
        ({"pip": ["a", "-r more.txt"]}, "pip[1]", "-r more.txt"),
        ({"pip": "--index-url https://x\na"}, "pip[0]", "--index-url"),
        ({"pip": "a==1 --hash=sha256:00"}, "pip[0]", "--hash"),
        ({"pip": "requirements.txt"}, "pip", "a path on your machine"),
        ({"pip": "/home/me/requirements"}, "pip", "a path on your machine"),
        (
            {"pip": {"packages": ["a"], "pip_install_options": ["--index-url=x"]}},
            "pip.pip_install_options",
            "--index-url",
        ),
        ({"uv": {"packages": ["a"], "uv_pip_install_options": ["--pre"]}}, "uv.uv_pip_install_options", "--pre"),
        ({"uv": {"packages": ["a"], "pip_install_options": []}}, "uv.pip_install_options", "not a known field"),
    ],
)
def test_unsupported_options_are_refused_by_name(runtime_env: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        translate_runtime_env(runtime_env)
    (error,) = refusal.value.errors
    assert error.field == f"runtime_env.{field}"
    assert says in error.detail


def test_direct_reference_is_not_taken_for_a_path() -> None:
    assert translate_runtime_env({"pip": "lib @ https://example.org/lib-1.0-py3-none-any.whl"})[0]
