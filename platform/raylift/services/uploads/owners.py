"""For whom a job runs, and what no amount of waiting would bring within that owner's quota."""

from __future__ import annotations

from collections.abc import Iterator

from raylift.api.headers import OWNER_HEADER
from raylift.api.training import ResourceRequest
from raylift.domain.errors import FieldError
from raylift.domain.identifiers import OWNER, OWNER_FORM
from raylift.domain.job import Resources
from raylift.domain.quantities import format_bytes, parse_bytes
from raylift.settings import QuotaSettings


def check_owner(owner: str, asked: ResourceRequest, quotas: QuotaSettings) -> Iterator[FieldError]:
    if not OWNER.fullmatch(owner):
        yield FieldError(OWNER_HEADER, f"must be {OWNER_FORM}")
        return
    yield from beyond_quota(owner, Resources(asked.cpus, parse_bytes(asked.memory)), quotas)


def beyond_quota(owner: str, wanted: Resources, quotas: QuotaSettings) -> Iterator[FieldError]:
    """What a job asks for that its owner's quota has for no job, even if it is the only one."""
    quota = quotas.of(owner)
    if quota.max_cpus is not None and wanted.cpus > quota.max_cpus:
        yield FieldError("resources.cpus", f"is {wanted.cpus:g}; the jobs of {owner!r} may have {quota.max_cpus:g} together")
    if quota.max_memory_bytes is not None and wanted.memory_bytes > quota.max_memory_bytes:
        asked, most = format_bytes(wanted.memory_bytes), format_bytes(quota.max_memory_bytes)
        yield FieldError("resources.memory", f"is {asked}; the jobs of {owner!r} may have {most} together")
