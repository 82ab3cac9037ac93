"""The version that answers requests that name only the model, after another was registered, and what that one takes over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from raylift.domain.job import Job
from raylift.domain.models.deployment import Deployment, DeploymentConfig
from raylift.domain.models.version import ModelVersion
from raylift.domain.traffic import TrafficTable
from raylift.services.models.replica_environment import job_variables
from raylift.services.traffic.by_name import shares_of
from raylift.services.traffic.routing import newest_answering, takes_requests
from raylift.store import Store


def config_for(job: Job, version: ModelVersion, store: Store, config: DeploymentConfig) -> DeploymentConfig:
    """Return the deployment's configuration for a job's version, with the job's variables that its model may need.

    A job without ``take_traffic``, or with a gate, gets it where no other version answers.
    """
    config = replace(config, environment=job_variables(job.spec))
    if job.spec.take_traffic and job.spec.promote is None:
        return config
    return replace(config, take_traffic=_expected(_others(version, store)) is None)


def watched_like_champion(version: ModelVersion, store: Store, config: DeploymentConfig, *, now: datetime) -> DeploymentConfig:
    """Let a new version be watched as the one that answers for the model's name: its monitor's settings, and its payload log.

    Repeated after a kill, it changes nothing: a monitor that is there already stays.
    """
    champion = _champion(version, store)
    if champion is None:
        return config
    monitor = store.monitors.find(version.name, champion.version)
    if monitor is not None and store.monitors.find(version.name, version.version) is None:
        store.monitors.set(version.name, version.version, monitor.settings, now)
    return replace(config, payload_log=champion.config.payload_log)


def sentence(row: Deployment, version: ModelVersion, store: Store) -> str:
    """Return a sentence on the version that answers for the model's name, now and before; empty where it is not deployed."""
    if not row.wanted:
        return ""
    name, number = version.name, version.version
    record = store.traffic.get(name)
    if record is not None and record.table is not None:
        return _by_table(version, record.table, store)
    others = _others(version, store)
    before = newest_answering(others) or _expected(others)
    if before is None:
        return f"It answers requests that name only {name} once it is ready; no version answered them before."
    if row.config.take_traffic and int(before.version) < int(number):
        return (
            f"It answers requests that name only {name} once it is ready, in place of version {before.version}; "
            f"`raylift traffic set {name} {before.version}=1` sends them back."
        )
    return (
        f"Requests that name only {name} go on to version {before.version}; "
        f"`raylift traffic set {name} {number}=1` sends them to this one."
    )


def _by_table(version: ModelVersion, table: TrafficTable, store: Store) -> str:
    name = version.name
    shown = " ".join(f"{route.target.version or route.target.alias}={route.weight:g}" for route in table.routes)
    follow = f"Requests that name only {name} follow its traffic table ({shown})"
    moved = sorted({*version.aliases} & table.aliases)
    if not moved:
        return f"{follow}; this version gets none of them."
    alias = moved[0]
    change = store.traffic.last_change(name, aliases=[alias], table=False)
    recorded = {record.alias: record.version for record in store.traffic.aliases(name)}.get(alias)
    before = change.before_version if change is not None and change.after_version == version.version else recorded
    place = f", in place of version {before}" if before not in (None, version.version) else ""
    return f"{follow}; its alias {alias!r} is this version now{place}."


def _champion(version: ModelVersion, store: Store) -> Deployment | None:
    """Return the other version that gets most of the requests by name, now or once it has started."""
    others = _others(version, store)
    record = store.traffic.get(version.name)
    if record is None or record.table is None:
        return newest_answering(others) or _expected(others)
    named = shares_of(store, version.name, record.table)
    shares = [(weight, others[number]) for weight, number in named if number is not None and number in others]
    return max(shares, key=lambda share: share[0])[1] if shares else None


def _others(version: ModelVersion, store: Store) -> Mapping[str, Deployment]:
    return {row.version: row for row in store.deployments.list(version.name) if row.version != version.version}


def _expected(rows: Mapping[str, Deployment]) -> Deployment | None:
    """Return the newest version that answers requests by name, now or once it has started."""
    rows = {key: row for key, row in rows.items() if takes_requests(row) and row.config.take_traffic}
    return rows[max(rows, key=int)] if rows else None
