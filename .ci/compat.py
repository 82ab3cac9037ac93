"""Test the newest releases of the libraries: within the ranges of pyproject.toml, and the newest one beyond each range.

Each environment is new and lies in a cache folder; ``.venv`` is not touched. Names of packages as arguments limit the run.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parents[1]
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "raylift-compat"
TREE: Final = ".[server,postgres]"

_MODELS: Final = (
    "tests/unit/model_server",
    "tests/integration/job_entrypoints/test_training_table.py",
    "tests/integration/model_server/test_models.py",
    "tests/integration/model_server/test_scoring.py",
)
_WEB: Final = ("tests/unit/api", "tests/unit/gateway", "tests/integration/gateway/test_forwarding.py")
_CLIENT: Final = ("tests/unit/client", "tests/unit/cli", "tests/integration/client")
_STORE: Final = ("tests/unit/store", "tests/contract")
TESTS: Final[dict[str, tuple[str, ...]]] = {
    "ray": (
        "tests/unit/engines",
        "tests/unit/supervisor",
        "tests/integration/ray_internals",
        "tests/integration/ingress",
        "tests/integration/warm_pool",
        "tests/integration/environments/test_plugin.py",
        "tests/integration/model_server/test_on_serve.py",
    ),
    "mlflow": (
        "tests/unit/engines",
        "tests/unit/job_entrypoints",
        "tests/integration/engines",
        "tests/integration/job_entrypoints/test_job_run.py",
        "tests/integration/job_entrypoints/test_tracking.py",
        "tests/integration/job_entrypoints/test_training_table.py",
        "tests/integration/model_server/test_models.py",
        "tests/integration/model_server/test_functions.py",
    ),
    "fastapi": _WEB,
    "pydantic": (*_WEB, *_CLIENT),
    "aiohttp": _WEB,
    "orjson": (*_WEB, "tests/unit/model_server"),
    "numpy": _MODELS,
    "pandas": _MODELS,
    "scikit-learn": _MODELS,
    "xgboost": _MODELS,
    "lightgbm": _MODELS,
    "sqlalchemy": _STORE,
    "alembic": _STORE,
    "protobuf": ("tests/unit/grpc_front", "tests/integration/grpc_front"),
    "grpcio": ("tests/unit/grpc_front", "tests/integration/grpc_front"),
    "psutil": ("tests/unit/job_entrypoints", "tests/unit/launcher", "tests/unit/engines"),
    "uv": ("tests/unit/environments", "tests/integration/environments/test_resolve.py"),
    "httpx": _CLIENT,
    "rich": _CLIENT,
    "typer": _CLIENT,
}
"""The tests that touch a package."""

_BROKEN: Final = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one package at one version: the tests that broke, and remarks on the installation."""

    package: str
    version: str
    broken: tuple[str, ...] = ()
    remark: str = ""


class Environment:
    """A virtual environment for one run of the tests."""

    def __init__(self, name: str) -> None:
        self.folder = CACHE / name
        shutil.rmtree(self.folder, ignore_errors=True)
        uv("venv", "--quiet", "--python", sys.executable, str(self.folder))

    def install(self, *arguments: str) -> str | None:
        """Install. Returns the installer's message if it could not."""
        done = uv("pip", "install", "--quiet", "--python", str(self.folder / "bin" / "python"), *arguments)
        return None if done.returncode == 0 else done.stderr.strip()

    def versions(self) -> dict[str, str]:
        """The installed version of each package, the tree's own left out."""
        listed = uv("pip", "freeze", "--exclude-editable", "--python", str(self.folder / "bin" / "python")).stdout
        pairs = (line.partition("==") for line in listed.splitlines() if "==" in line)
        return {canonicalize_name(name): version for name, _, version in pairs}

    def broken_tests(self, tests: Sequence[str]) -> set[str]:
        """Run tests and return the names of those that failed. Each path has a process of its own, as in CI's stages."""
        return {broken for test in tests for broken in self._broken_in(test)}

    def _broken_in(self, test: str) -> set[str]:
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
        done = subprocess.run(
            [
                *(str(self.folder / "bin" / "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *("-m", "not nightly or ray", test),
            ],
            cwd=ROOT,
            env={**os.environ, "PATH": path, "CI": "true"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        log = self.folder / "pytest.log"
        with log.open("a", encoding="utf-8") as file:
            file.write(done.stdout)
        broken = set(_BROKEN.findall(done.stdout))
        if done.returncode != 0 and not broken:
            return {f"{test}: pytest ended with {done.returncode}, see {log}"}
        return broken


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make compat", description=__doc__)
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help=f"of {', '.join(TESTS)}; without: all")
    chosen: list[str] = parser.parse_args(arguments).packages or list(TESTS)
    if unknown := sorted(set(chosen) - set(TESTS)):
        parser.error(f"no tests are listed for {', '.join(unknown)}")

    within = Environment("within")
    if said := within.install("--editable", TREE, "--group", "dev"):
        print(f"The newest releases within the ranges do not install:\n{said}")
        return 1
    pins = within.versions()
    print("── within the ranges ", "─" * 59, sep="", flush=True)
    broken = within.broken_tests(sorted({test for package in chosen for test in TESTS[package]}))
    verdicts = [report(Verdict(package, pins[package], among(broken, TESTS[package]))) for package in chosen]
    bounds = upper_bounds()
    for package in chosen:
        newest = newest_release(f"{package}<{bounds[package]}")
        if newest not in {None, pins[package]}:
            # Another package holds it back, or one of its own dependencies is not to be had.
            verdicts.append(report(alone(package, str(newest), pins, broken)))
    print("── the newest release beyond the range ", "─" * 41, sep="", flush=True)
    for package in chosen:
        newest = newest_release(f"{package}>={bounds[package]}")
        report(
            alone(package, newest, pins, broken)
            if newest
            else Verdict(package, f">={bounds[package]}", remark="no release yet")
        )
    return int(any(verdict.broken for verdict in verdicts))


def upper_bounds() -> dict[str, str]:
    """The first version that is out of range, by package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    requirements = [Requirement(line) for line in listed]
    return {
        canonicalize_name(requirement.name): specifier.version
        for requirement in requirements
        for specifier in requirement.specifier
        if specifier.operator == "<"
    }


def newest_release(requirement: str) -> str | None:
    """The newest release that satisfies the requirement, whether its dependencies exist or not; None if there is none."""
    done = uv("pip", "compile", "--quiet", "--no-deps", "--no-header", "--python", sys.executable, "-", given=requirement)
    return done.stdout.strip().rpartition("==")[2] or None


def alone(package: str, version: str, pins: dict[str, str], broken: set[str]) -> Verdict:
    """Change one package in the environment of the newest releases, and run the tests that touch it."""
    environment = Environment(f"{package}-{version}")
    listed = environment.folder / "pins.txt"
    listed.write_text("".join(f"{name}=={pin}\n" for name, pin in pins.items()), encoding="utf-8")
    said = environment.install("--no-deps", "--requirement", str(listed)) or environment.install(
        "--no-deps", "--editable", TREE
    )
    if said:
        return Verdict(package, version, remark=f"not tested: {one_line(said)}")
    # Raylift's own range does not count here: uv resolves only what it is asked for.
    said = environment.install(f"{package}=={version}")
    remark = f"installed without its dependencies: {one_line(said)}" if said else ""
    if said and (said := environment.install("--no-deps", f"{package}=={version}")):
        return Verdict(package, version, remark=f"not tested: {one_line(said)}")
    return Verdict(package, version, tuple(sorted(environment.broken_tests(TESTS[package]) - broken)), remark)


def among(broken: set[str], tests: tuple[str, ...]) -> tuple[str, ...]:
    """The broken tests that lie in the listed files and folders."""
    return tuple(sorted(name for name in broken if name.startswith(tests)))


def one_line(said: str) -> str:
    return " ".join(said.split())


def report(verdict: Verdict) -> Verdict:
    state = f"{len(verdict.broken)} broken" if verdict.broken else "ok"
    if verdict.remark.startswith(("no release", "not tested")):
        state = "--"
    print(f"{verdict.package:<14} {verdict.version:<10} {state:<10} {verdict.remark}".rstrip(), flush=True)
    for name in verdict.broken:
        print(f"    {name}", flush=True)
    return verdict


def uv(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "uv", *arguments]
    return subprocess.run(command, cwd=ROOT, input=given, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
