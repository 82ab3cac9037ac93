from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raylift.launcher import local_platform
from raylift.launcher.errors import LauncherError, PortTaken
from raylift.launcher.local_platform import LocalPlatform, is_running
from raylift.launcher.processes.platform_processes import MARK
from raylift.launcher.progress import NoProgress
from raylift.launcher.run.record import IncompleteRecord, RunRecord, delete_record, exclusive, read_record, write_record
from raylift.launcher.run.session import keep_logs, make_session, remove_session, session_path, temp_path


def record_of(state_dir: Path, **changes: object) -> RunRecord:
    fields: dict[str, object] = {
        "instance": "of-a-former-boot",
        "started_at": datetime(2026, 1, 1, tzinfo=UTC),
        "host": "0.0.0.0",
        "ports": {"gateway": 1, "ray_dashboard": 2, "mlflow": 3, "block": 20000},
        "state_dir": state_dir,
        "session_dir": state_dir / "session",
    }
    return RunRecord.model_validate({**fields, **changes})


def test_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = record_of(tmp_path, pids={"raylet": 7}, ready=True)
    write_record(record)
    assert read_record(tmp_path) == record
    assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o600
    delete_record(tmp_path)
    assert read_record(tmp_path) is None


def test_local_url_of_an_open_platform_is_the_loopback(tmp_path: Path) -> None:
    assert record_of(tmp_path).gateway_url == "http://127.0.0.1:1"


def test_address_that_others_reach_is_told(tmp_path: Path) -> None:
    assert "0.0.0.0:1," in str(record_of(tmp_path).listens_on)
    assert "10.0.0.5:1," in str(record_of(tmp_path, host="10.0.0.5").listens_on)
    assert record_of(tmp_path, host="127.0.0.1").listens_on is None


def test_broken_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}", encoding="ascii")
    with pytest.raises(LauncherError, match=r"run\.json"):
        read_record(tmp_path)


@pytest.mark.parametrize("content", ["", '{"instance": "of-a-for'])
def test_incomplete_record_differs_from_a_foreign_one(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content, encoding="ascii")
    with pytest.raises(IncompleteRecord, match="raylift up"):
        read_record(tmp_path)


def test_start_ends_processes_of_an_incomplete_record(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(b"")
    place = str(temp_path(session_path(tmp_path)))
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        subprocess.Popen(["sleep", "300"], env={MARK: "nobody-knows", "TMPDIR": place}) as left,
        subprocess.Popen(["sleep", "300"], env={MARK: "another", "TMPDIR": f"{place}-of-another"}) as bystander,
    ):
        # After that the start ends, since its port is taken.
        with pytest.raises(PortTaken):
            LocalPlatform.start(tmp_path, overrides={"ports": {"gateway": taken.getsockname()[1]}})
        assert left.wait(timeout=60) == -signal.SIGKILL
        assert bystander.poll() is None
        bystander.kill()


def test_copied_state_directory_has_no_platform(tmp_path: Path) -> None:
    """Otherwise `raylift down` on the copy would end the platform of the original."""
    first = tmp_path / "first"
    first.mkdir()
    write_record(record_of(first, ready=True))
    shutil.copytree(first, tmp_path / "copy")
    assert read_record(tmp_path / "copy") is None
    assert read_record(first) is not None


def test_moved_state_directory_keeps_its_record(tmp_path: Path) -> None:
    first, moved = tmp_path / "first", tmp_path / "moved"
    first.mkdir()
    write_record(record_of(first, ready=True))
    first.rename(moved)
    found = read_record(moved)
    assert found is not None
    assert (found.state_dir, found.session_dir) == (moved, first / "session")


def test_stopping_platform_does_not_count_as_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`raylift down` may be killed before it has ended all. The next `up` has to end the rest."""
    write_record(record_of(tmp_path, ready=True))
    platform = LocalPlatform.find(tmp_path)
    assert platform is not None

    def killed(*_: object, **__: object) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(local_platform, "end_all", killed)
    with pytest.raises(KeyboardInterrupt):
        platform.stop()
    found = read_record(tmp_path)
    assert found is not None
    assert not found.ready


def test_process_ids_of_a_former_boot_do_not_count(tmp_path: Path) -> None:
    """Their ids exist, but belong to other processes now."""
    assert not is_running(record_of(tmp_path, pids={"mlflow": 1, "gcs_server": 1, "raylet": 1}, ready=True))


@pytest.mark.parametrize("titles", [(), ("ray::SupervisorActor", "ray::ServeReplica:gateway:gateway", "ray::ServeController")])
def test_platform_recovers_when_all_its_actors_are_there(tmp_path: Path, titles: tuple[str, ...]) -> None:
    record = record_of(tmp_path, instance=f"recovers-{len(titles)}", ready=True)
    actors = [subprocess.Popen([title, "300"], executable="/bin/sleep", env={MARK: record.instance}) for title in titles]
    try:
        assert local_platform._has_recovered(record, NoProgress(), timeout=0.1) == bool(titles)
    finally:
        for actor in actors:
            actor.kill()
            actor.wait()


def test_stop_of_a_dead_platform_removes_its_record(tmp_path: Path) -> None:
    record = record_of(tmp_path)
    make_session(record.session_dir)
    write_record(record)
    platform = LocalPlatform.find(tmp_path)
    assert platform is not None
    assert platform.stop() == []
    assert not record.session_dir.exists()
    assert LocalPlatform.find(tmp_path) is None


def test_only_one_launcher_works_at_a_time(tmp_path: Path) -> None:
    with exclusive(tmp_path), pytest.raises(LauncherError, match="Another"), exclusive(tmp_path):
        pass


def test_session_directory_of_another_user_is_not_touched(tmp_path: Path) -> None:
    link = tmp_path / "session"
    link.symlink_to(tmp_path)
    with pytest.raises(LauncherError, match="another user"):
        remove_session(link)
    assert tmp_path.exists()


def test_logs_of_the_last_run_are_kept(tmp_path: Path) -> None:
    logs = tmp_path / "session" / "r" / "session_x" / "logs"
    logs.mkdir(parents=True)
    (logs / "raylet.out").write_text("why", encoding="ascii")
    (logs.parents[1] / "session_latest").symlink_to(logs.parent)
    for _ in range(2):
        keep_logs(tmp_path / "session", tmp_path / "logs")
    assert (tmp_path / "logs" / "ray" / "raylet.out").read_text(encoding="ascii") == "why"


def test_state_directory_is_closed_for_others(tmp_path: Path) -> None:
    new, own, foreign = tmp_path / "a" / "new", tmp_path / "own", tmp_path / "foreign"
    for directory in (own, foreign):
        directory.mkdir()
        directory.chmod(0o755)
    (own / "run.lock").touch()
    for directory, mode in ((new, 0o700), (own, 0o700), (foreign, 0o755)):
        with exclusive(directory):
            assert directory.stat().st_mode & 0o777 == mode
