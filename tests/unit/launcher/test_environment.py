from __future__ import annotations

import shlex
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raylift.ingress import haproxy
from raylift.ingress.guard import Guard
from raylift.ingress.spec import IngressSpec
from raylift.launcher.parts.ray_head import head_command
from raylift.launcher.run.config import load_config
from raylift.launcher.run.environment import base_environment, head_environment
from raylift.launcher.run.record import RunRecord
from raylift.launcher.run.session import session_path
from raylift.launcher.startup import database_url

NODE_ID = "f" * 56
LONGEST_SOCKET_PATH = 107


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    return RunRecord(
        instance="abc",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        host="127.0.0.1",
        ports={"gateway": 8000, "ray_dashboard": 8265, "mlflow": 5000, "block": 20000},
        state_dir=tmp_path,
        session_dir=session_path(tmp_path),
    )


def test_only_listed_variables_are_inherited() -> None:
    user = {
        "HOME": "/h",
        "LC_ALL": "C",
        "AWS_SECRET_ACCESS_KEY": "s",
        "RAY_ADDRESS": "x",
        "RAYLIFT_DATABASE_URL": "p",
        "PYTHONPATH": "/e",
    }
    environment = base_environment(load_config().environment, "abc", Path("/t"), user)
    assert environment["HOME"] == "/h"
    assert environment["LC_ALL"] == "C"
    assert environment["RAYLIFT_INSTANCE"] == "abc"
    assert environment["TMPDIR"] == "/t"
    assert not {"AWS_SECRET_ACCESS_KEY", "RAY_ADDRESS", "RAYLIFT_DATABASE_URL", "PYTHONPATH"} & environment.keys()


def test_numerical_settings_are_inherited_and_thread_counts_are_not() -> None:
    arithmetic = {
        "OPENBLAS_CORETYPE": "Haswell",
        "OPENBLAS_L2_SIZE": "524288",
        "MKL_CBWR": "COMPATIBLE",
        "NPY_DISABLE_CPU_FEATURES": "AVX512F",
        "BLIS_ARCH_TYPE": "zen",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2",
        "XLA_FLAGS": "--xla_cpu_enable_fast_math=false",
    }
    threads = {"OMP_NUM_THREADS": "64", "OPENBLAS_NUM_THREADS": "64", "MKL_NUM_THREADS": "64", "NUMBA_NUM_THREADS": "64"}
    environment = base_environment(load_config().environment, "abc", Path("/t"), arithmetic | threads)
    assert arithmetic.items() <= environment.items()
    assert not threads.keys() & environment.keys()


def test_jobs_do_not_get_the_database_url(record: RunRecord) -> None:
    base = base_environment(load_config().environment, "abc", Path("/t"), {"RAYLIFT_DATABASE_URL": "postgresql://u:secret@h/d"})
    environment = head_environment(base, record, attempts_dir=record.state_dir / "attempts", cores=2)
    assert "secret" not in str(environment)


def test_environment_overrides_the_configuration(tmp_path: Path) -> None:
    config = load_config(overrides={"database": "postgresql://a/b"})
    assert database_url(config, tmp_path, {"RAYLIFT_DATABASE_URL": "postgresql://c/d"}) == "postgresql://c/d"
    assert database_url(config, tmp_path, {}) == "postgresql://a/b"
    assert database_url(load_config(), tmp_path, {}) == f"sqlite:///{tmp_path}/raylift.db"


def test_socket_paths_are_short_enough(record: RunRecord) -> None:
    """For any length of the state directory. HAProxy binds under a temporary name of 14 more characters."""
    deep = session_path(Path("/" + "d" * 200))
    assert len(str(deep / "h" / NODE_ID / "a.sock")) + 14 <= LONGEST_SOCKET_PATH
    assert (
        len(str(deep / "r" / "session_2026-11-23_15-24-49_441352_1234567" / "sockets" / "plasma_store")) <= LONGEST_SOCKET_PATH
    )


def test_each_state_directory_has_its_session() -> None:
    assert session_path(Path("/a")) != session_path(Path("/b"))
    assert session_path(Path("/a")) == session_path(Path("/a"))


def test_every_port_of_the_head_is_explicit(record: RunRecord) -> None:
    command = shlex.join(head_command(load_config(), record, {}))
    for option in ("port", "object-manager-port", "node-manager-port", "dashboard-agent-grpc-port", "runtime-env-agent-port"):
        assert f"--{option} 20" in command
    assert "--node-ip-address 127.0.0.1" in command
    assert "--dashboard-port 8265" in command


HAPROXY_CONFIG = """defaults
    errorfile 502 /h/500.http
    errorfile 503 /h/500.http
    errorfile 504 /h/500.http
frontend prometheus
    bind :9101
frontend http_frontend
    bind 127.0.0.1:8000
    # Ray's own rules
listen stats
  bind *:8404
"""


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", "127.0.0.1:8000"), ("0.0.0.0", "*:8000")])
def test_haproxy_opens_only_the_api_to_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, expected: str
) -> None:
    lines = corrected(tmp_path, monkeypatch, host=host)
    assert [line for line in lines if line.startswith("bind")] == [
        "bind 127.0.0.1:9101",
        f"bind {expected}",
        "bind 127.0.0.1:8404",
    ]


def test_our_haproxy_rules_precede_ray_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = corrected(tmp_path, monkeypatch, host="127.0.0.1")
    token, named = "http-request set-header X-Raylift-Ingress secret", "http-request del-header X-Raylift-Named"
    (forwarded,) = [line for line in lines if line.startswith("http-request del-header X-Raylift-Forwarded ")]
    assert forwarded.endswith(" unless { req.fhdr(X-Raylift-Ingress) -m str secret }")
    # The client's token is checked before ours replaces it.
    order = ["bind 127.0.0.1:8000", forwarded, token, named, "# Ray's own rules"]
    assert sorted(order, key=lines.index) == order
    assert not [line for line in lines if line.startswith("errorfile")]
    assert [line.split()[2] for line in lines if line.startswith("http-error ")] == ["408", "502", "503"]


def test_token_file_is_readable_by_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corrected(tmp_path, monkeypatch, host="127.0.0.1")
    readable = [path for path in tmp_path.iterdir() if path.is_file() and "secret" in path.read_text(encoding="ascii")]
    assert [(path.name, path.stat().st_mode & 0o777) for path in readable if path.name != "c.cfg"] == [("ingress-rules", 0o600)]


def corrected(directory: Path, monkeypatch: pytest.MonkeyPatch, *, host: str) -> list[str]:
    """The lines of Ray's file as HAProxy gets them."""
    config, files = directory / "c.cfg", haproxy.IngressFiles(directory)
    config.write_text(HAPROXY_CONFIG, encoding="ascii")
    monkeypatch.setattr(haproxy, "haproxy_binary", lambda: "/bin/true")
    files.write(IngressSpec(8000, "secret", Guard(frozenset({"localhost"}))), host=host)
    subprocess.run([str(files.wrapper), "-db", "-f", str(config), "-dR"], check=True)
    return [line.strip() for line in config.read_text(encoding="ascii").splitlines()]


@pytest.mark.parametrize(("cores", "threads"), [(1, "1"), (2, "1"), (3, "1"), (4, "2"), (64, "4")])
def test_ingress_leaves_cores_to_the_processes_behind_it(record: RunRecord, cores: int, threads: str) -> None:
    environment = head_environment({}, record, attempts_dir=record.state_dir / "attempts", cores=cores)
    assert environment["RAY_SERVE_HAPROXY_NBTHREAD"] == threads
