"""The real scanners on scripts, locks and models; the advisory source is a server of this test."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from raylift.domain.security.report import ReportState, Severity
from raylift.engines import scanners
from raylift.engines.scanners import scan_model, scan_packages, scan_script

ADVISORY = {
    "vulns": [
        {
            "id": "TEST-1",
            "summary": "a test",
            "affected": [
                {
                    "package": {"name": "oldlib", "ecosystem": "PyPI"},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}],
                    "versions": ["1.0"],
                }
            ],
        }
    ]
}


class Advisories(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(ADVISORY if asked["package"]["name"] == "oldlib" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...  # pyright: ignore[reportIncompatibleMethodOverride]


@pytest.fixture
def advisories() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


def test_script_with_findings_names_lines_the_worst_first() -> None:
    report = scan_script(b"import pickle\nimport subprocess\nsubprocess.run(input(), shell=True)\n")
    assert report.state is ReportState.FINDINGS
    first = report.findings[0]
    assert (first.severity, first.where) == (Severity.HIGH, "line 3")
    assert first.what.startswith("B602")
    assert [finding.severity for finding in report.findings][-1] is Severity.LOW
    assert scan_script(b"print(1)\n").state is ReportState.CLEAN


def test_script_that_is_no_python_is_not_scanned() -> None:
    report = scan_script(b"this is no python")
    assert report.state is ReportState.NOT_RUN
    assert "bandit did not work: syntax error" in (report.detail or "")


def test_packages_with_advisories_are_named(advisories: str) -> None:
    report = scan_packages(["oldlib==1.0", "newlib==3.1"], osv_url=advisories)
    assert (report.state, report.detail) == (ReportState.FINDINGS, None)
    assert [finding.what for finding in report.findings] == ["oldlib 1.0: TEST-1, fixed in 2.0"]
    assert scan_packages(["newlib==3.1"], osv_url=advisories).state is ReportState.CLEAN
    assert scan_packages([], osv_url="http://127.0.0.1:9/").state is ReportState.CLEAN


def test_unreachable_advisory_source_is_said() -> None:
    report = scan_packages(["oldlib==1.0"], osv_url="http://127.0.0.1:9/v1/query")
    assert report.state is ReportState.NOT_RUN
    assert "pip-audit did not work" in (report.detail or "")
    assert "127.0.0.1" in (report.detail or "")


class Attack:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('the model was loaded')",)


def test_pickle_that_runs_code_is_found_and_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nested").mkdir()
    (tmp_path / "nested" / "model.pkl").write_bytes(pickle.dumps(Attack()))
    (tmp_path / "MLmodel").write_text("flavors: {}")
    monkeypatch.setattr(scanners, "download", lambda *_: (tmp_path, {}))
    report = scan_model("models:/m/1", "http://nowhere")
    assert [(finding.severity, finding.where) for finding in report.findings] == [(Severity.HIGH, "nested/model.pkl")]
    assert "exec" in report.findings[0].what
    (tmp_path / "nested" / "model.pkl").write_bytes(pickle.dumps({"coef": [1.0, 2.0]}))
    assert scan_model("models:/m/1", "http://nowhere").state is ReportState.CLEAN


def test_files_that_are_not_the_registered_ones_are_not_scanned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanners, "download", lambda *_: (tmp_path, {"model.pkl": "b2"}))
    report = scan_model("models:/m/1", "http://nowhere", {"model.pkl": "a1"})
    assert (report.state, "model.pkl changed" in (report.detail or "")) == (ReportState.NOT_RUN, True)
    assert scan_model("models:/m/1", "http://nowhere", {"model.pkl": "b2"}).state is ReportState.CLEAN


def test_missing_scanner_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanners, "find_spec", lambda _: None)
    report = scan_script(b"print(1)\n")
    assert (report.state, "pip install 'raylift[scan]'" in (report.detail or "")) == (ReportState.NOT_RUN, True)
