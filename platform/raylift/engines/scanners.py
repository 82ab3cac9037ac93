"""Scanners of the extra ``scan``: bandit, pip-audit and picklescan. Each runs as a process, which an odd input may break.

None of them loads or runs what it reads. One that is not installed, or that fails, gives a report that says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from raylift.domain.errors import EngineUnavailable
from raylift.domain.models.files import Files, difference
from raylift.domain.security.report import Report, ReportFinding, ReportState, Severity
from raylift.engines.mlflow_engine.client import mlflow_errors
from raylift.engines.model_files.digests import download

_SECONDS: Final = 120
_MOST: Final = 200
"""Findings of a report."""
_EXTRA: Final = "pip install 'raylift[scan]'"
_SEVERITIES: Final = {"LOW": Severity.LOW, "MEDIUM": Severity.MEDIUM, "HIGH": Severity.HIGH}
_PICKLES: Final = """
import json, logging, sys
from picklescan.scanner import SafetyLevel, scan_file_path
from pathlib import Path
logging.disable(logging.CRITICAL)
found = []
for path in sorted(Path(sys.argv[1]).rglob("*")):
    if path.is_file():
        result = scan_file_path(str(path))
        name = path.relative_to(sys.argv[1]).as_posix()
        found += [[name, each.safety.value, f"{each.module}.{each.name}"] for each in result.globals]
        found += [[name, "unreadable", ""]] if result.scan_err else []
print(json.dumps(found))
"""
_OF_PICKLES: Final = {
    "dangerous": (Severity.HIGH, "loads {what}, which runs code of its choice"),
    "suspicious": (Severity.LOW, "loads {what}, which is not known to be harmless"),
    "unreadable": (Severity.MEDIUM, "is a pickle that cannot be read to its end"),
}


class _ScannerFailed(Exception):
    """The scanner gave no report; the text says why."""


def scan_script(script: bytes) -> Report:
    """Scan a Python script with bandit."""

    def scan(directory: Path) -> list[ReportFinding]:
        (directory / "script.py").write_bytes(script)
        found = _run("bandit", ["-m", "bandit", "-q", "-f", "json", "script.py"], directory)
        if found["errors"]:
            raise _ScannerFailed(str(found["errors"][0].get("reason", "it cannot read the script")))
        return [
            ReportFinding(
                _SEVERITIES[each["issue_severity"]], f"{each['test_id']}: {each['issue_text']}", f"line {each['line_number']}"
            )
            for each in found["results"]
            if each["issue_severity"] in _SEVERITIES
        ]

    return _report("script", "bandit", scan)


def scan_packages(lock: Sequence[str], *, osv_url: str) -> Report:
    """Ask an advisory source for the packages of a lock, with pip-audit."""

    def scan(directory: Path) -> list[ReportFinding]:
        (directory / "lock.txt").write_text("\n".join(lock), encoding="utf-8")
        options = ["-r", "lock.txt", "--no-deps", "--disable-pip", "-f", "json", "--progress-spinner", "off"]
        source = ["-s", "osv", "--osv-url", osv_url, "--cache-dir", str(directory / "cache")]
        found = _run("pip_audit", ["-m", "pip_audit", *options, *source], directory)
        return [
            ReportFinding(Severity.HIGH, f"{package['name']} {package['version']}: {each['id']}{_fixed(each)}")
            for package in found["dependencies"]
            for each in package.get("vulns", ())
        ]

    if not lock:
        return Report.of("packages", "pip-audit", [])
    return _report("packages", "pip-audit", scan)


def scan_model(model_uri: str, mlflow_url: str, registered: Files | None = None) -> Report:
    """Look for pickles that import what a model should not, with picklescan.

    Args:
        model_uri: MLflow URI of the version.
        mlflow_url: address of MLflow.
        registered: the registered files. Other files are not scanned.

    Raises:
        EngineUnavailable: MLflow does not answer.
    """

    def scan(directory: Path) -> list[ReportFinding]:
        try:
            with mlflow_errors():
                files, found_files = download(model_uri, mlflow_url, directory)
        except EngineUnavailable:
            raise
        except Exception as error:  # Artifact stores have errors of their own libraries.
            raise _ScannerFailed(f"the model's files cannot be read: {error}") from error
        changed = difference(registered, found_files) if registered is not None else None
        if changed is not None:
            raise _ScannerFailed(f"the model is not as it was registered: {changed}")
        found: list[list[str]] = _run("picklescan", ["-c", _PICKLES, str(files.resolve())], directory)
        told = [(file, *_OF_PICKLES[safety], what) for file, safety, what in found if safety in _OF_PICKLES]
        return [ReportFinding(severity, text.format(what=what), file) for file, severity, text, what in told]

    return _report("model", "picklescan", scan)


def _report(subject: str, tool: str, scan: Any) -> Report:
    with tempfile.TemporaryDirectory(prefix="raylift-scan-") as name:
        try:
            findings: list[ReportFinding] = scan(Path(name))
        except _ScannerFailed as error:
            return Report(subject, tool, ReportState.NOT_RUN, detail=f"{tool} did not work: {error}.")
    worst_first = sorted(findings, key=lambda each: list(Severity).index(each.severity), reverse=True)
    return Report.of(subject, tool, worst_first[:_MOST])


def _run(module: str, arguments: Sequence[str], directory: Path) -> Any:
    if find_spec(module) is None:
        raise _ScannerFailed(f"it is not installed ({_EXTRA})")
    # Isolated: modules beside what is scanned are not imported.
    command = [sys.executable, "-I", *arguments]
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise _ScannerFailed(f"it took more than {_SECONDS} seconds") from None
    try:
        return json.loads(done.stdout)
    except ValueError:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise _ScannerFailed(lines[-1][:300].rstrip(".")) from None


def _fixed(vulnerability: Mapping[str, Any]) -> str:
    versions = vulnerability.get("fix_versions") or ()
    return f", fixed in {', '.join(versions)}" if versions else ""
