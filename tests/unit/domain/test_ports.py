"""Ports that sandboxed scripts cannot reach."""

from __future__ import annotations

from raylift.domain.ports import refused_ports


def test_mlflow_stays_open_inside_a_refused_block() -> None:
    ports = refused_ports(
        "20000-20999,9000",
        local=("http://127.0.0.1:8000", "sqlite:////state/raylift.db", "postgresql+psycopg://u:p@localhost/raylift"),
        reached="http://127.0.0.1:20015",
    )
    assert ports == "20000-20014,20016-20999,9000,8000,5432"


def test_port_of_another_machine_is_not_refused() -> None:
    assert refused_ports("", local=("postgresql://db.example.org:5433/x",), reached="https://mlflow.example.org") == ""
