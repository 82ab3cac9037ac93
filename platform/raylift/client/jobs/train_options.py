"""The options of ``Client.train`` that a job and a sweep have in common, for type checkers. ``Client.train`` explains them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Literal, TypedDict


class TrainOptions(TypedDict, total=False):
    script_content: str | None
    script_name: str | None
    model: str | None
    experiment: str | None
    requirements: Iterable[str] | str | PathLike[str]
    torch_backend: str | None
    env: Mapping[str, str] | None
    args: Iterable[str]
    cpus: float
    memory: int | str
    gpus: float
    timeout: int
    max_retries: int
    priority: int
    autolog: bool
    deploy: bool
    register: str | None
    take_traffic: bool
    params: Mapping[str, str | float] | None
    tags: Mapping[str, str] | None
    idempotency_key: str | None
    entrypoint: str | None


class SweepOptions(TrainOptions, total=False):
    sweep_as: Literal["environment", "arguments"]
    metric: str | None
    mode: Literal["max", "min"]
    register_best: bool
    max_parallel: int | None
