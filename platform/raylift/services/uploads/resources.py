"""Checks of the resources that a job asks for: the platform's minimum, the nodes, and the quota of its owner."""

from __future__ import annotations

from collections.abc import Iterator

from raylift.api.headers import OWNER_HEADER
from raylift.domain.errors import FieldError
from raylift.domain.identifiers import OWNER, OWNER_FORM
from raylift.domain.job import Isolation, Resources, account_of
from raylift.domain.quantities import format_bytes
from raylift.services.cluster.capacity import Capacity
from raylift.settings import QuotaSettings


def check_memory(memory_bytes: int, least_bytes: int) -> Iterator[FieldError]:
    if memory_bytes < least_bytes:
        detail = f"is {format_bytes(memory_bytes)}; it must be at least {format_bytes(least_bytes)}"
        yield FieldError("resources.memory", detail)


def check_gpus(gpus: float, field: str) -> Iterator[FieldError]:
    """Yield an error for a number that Ray refuses."""
    if gpus > 1 and not gpus.is_integer():
        yield FieldError(field, f"is {gpus:g}; more than one GPU must be a whole number, less may be a part of one")


def check_workers(wanted: Resources, isolation: Isolation, least_bytes: int) -> Iterator[FieldError]:
    """Yield what is wrong with the GPUs of a job, and with its workers."""
    yield from check_gpus(wanted.gpus, "resources.gpus")
    its = wanted.workers
    if its is None:
        return
    yield from check_gpus(its.gpus, "resources.workers.gpus")
    if isolation is not Isolation.CLUSTER:
        yield FieldError("isolation", "is sandbox, where a script cannot use Ray: leave it out, or say isolation: cluster")
    if its.memory_bytes < least_bytes:
        detail = f"is {format_bytes(its.memory_bytes)}; it must be at least {format_bytes(least_bytes)}"
        yield FieldError("resources.workers.memory", detail)


def check_fit(wanted: Resources, capacity: Capacity) -> Iterator[FieldError]:
    """Yield the resource that no node of the cluster has enough of, or could have, if there is one."""
    shortfall = capacity.refusal(wanted)
    if shortfall:
        yield FieldError(f"resources.{shortfall.resource}", shortfall.detail)


def check_owner(owner: str, workspace: str, wanted: Resources, quotas: QuotaSettings) -> Iterator[FieldError]:
    if OWNER.fullmatch(owner):
        yield from check_quota(account_of(workspace, owner), wanted, quotas)
    else:
        yield FieldError(OWNER_HEADER, f"must be {OWNER_FORM}")


def check_quota(account: str, wanted: Resources, quotas: QuotaSettings) -> Iterator[FieldError]:
    """Yield what a single job asks for beyond the whole quota of its account: it could never start."""
    quota, wanted = quotas.of(account), wanted.whole
    if quota.max_cpus is not None and wanted.cpus > quota.max_cpus:
        yield FieldError("resources.cpus", f"is {wanted.cpus:g}; the jobs of {account!r} may have {quota.max_cpus:g} together")
    if quota.max_memory_bytes is not None and wanted.memory_bytes > quota.max_memory_bytes:
        asked, most = format_bytes(wanted.memory_bytes), format_bytes(quota.max_memory_bytes)
        yield FieldError("resources.memory", f"is {asked}; the jobs of {account!r} may have {most} together")
