"""``AsyncClient``: the methods of ``Client`` as coroutines, made from it. There is no second client to keep in step.

Each class of the SDK gets a twin whose methods run the original in a thread. httpx's client is thread-safe, and a wait for a
job or a stream of its log holds a thread, never the event loop.

| of the client | of its twin |
|---|---|
| ``client.predict(…)`` | ``await client.predict(…)`` |
| ``client.train(…)``, a Job | ``await client.train(…)``, an AsyncJob with the fetched job |
| ``client.jobs`` | ``client.jobs``, a twin |
| ``client.jobs.list()``, an iterator | ``async for job in client.jobs.list()``, or ``await`` for a list |
| ``job.status``, a property | ``job.status``, as of the last fetch |
"""

# pyright: reportPrivateUsage=false
# One mechanism in one file: its parts use each other's members, which are not those of the twins.

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cached_property, partial, wraps
from types import TracebackType
from typing import Any, Final, Self, cast

from raylift.client.client import Client
from raylift.client.http.connection import without_requests
from raylift.client.http.part import Part
from raylift.client.jobs.job import Job
from raylift.client.jobs.sweeps import Sweep

_THREADS: Final = 64
"""Calls of one client at a time; further ones wait. A wait for a job is a call."""
_END: Final = object()
_HANDLES: Final = (Job, Sweep)


class _Twin:
    """An object of the SDK, and the threads that its methods run in."""

    def __init__(self, original: Any, threads: ThreadPoolExecutor) -> None:
        self._original = original
        self._threads = threads

    def __repr__(self) -> str:
        return f"<async {self._original!r}>"

    def _repr_html_(self) -> str | None:
        draw = getattr(self._original, "_repr_html_", None)
        with without_requests():
            return draw() if isinstance(self._original, _HANDLES) and draw is not None else None

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    async def _run(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, copy_context().run, call)

    def _wrapped(self, value: Any) -> Any:
        """Return the twin of an object of the SDK; other values as they are."""
        if isinstance(value, list):
            return [self._wrapped(item) for item in cast("list[Any]", value)]
        kind = _known_twin(value.__class__)
        return value if kind is None else kind(value, self._threads)


class _Items:
    """Result of a method that returns an iterator: ``async for`` steps through it, ``await`` collects it in a list."""

    def __init__(self, twin: _Twin, call: Callable[[], Any]) -> None:
        self._twin = twin
        self._call = call

    def __await__(self) -> Generator[Any, None, Any]:
        return self._collect().__await__()

    async def __aiter__(self) -> AsyncIterator[Any]:
        twin = self._twin
        items = iter(await twin._run(self._call))
        while (item := await twin._run(partial(next, items, _END))) is not _END:
            yield twin._wrapped(item)

    async def _collect(self) -> Any:
        def collected() -> Any:
            found = self._call()
            return list(found) if isinstance(found, Iterator) else found  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]

        return self._twin._wrapped(await self._twin._run(collected))


_TWINS: Final[dict[type, type[_Twin]]] = {}


def _known_twin(kind: type) -> type[_Twin] | None:
    """Return the twin of a class of the SDK, made at its first use; None of other classes."""
    return _TWINS.get(kind) or (_twin_of(kind) if _is_of_sdk(kind) else None)


def _is_of_sdk(kind: type) -> bool:
    """Return True for classes with requests of their own. Views and answers are plain values."""
    return kind.__module__.startswith("raylift.client.") and issubclass(kind, (Part, *_HANDLES))


def _twin_of(kind: type) -> type[_Twin]:
    """Make the twin of a class."""
    members: dict[str, Any] = {"__doc__": f"Asynchronous twin of {kind.__name__}. {inspect.getdoc(kind) or ''}"}
    for name, member in inspect.getmembers(kind):
        if name.startswith("_"):
            continue
        if isinstance(member, property | cached_property):
            members[name] = _property(name, member.__doc__)
        elif inspect.isfunction(member):
            members[name] = _method(name, member)
    _TWINS[kind] = twin = type(f"Async{kind.__name__}", (_Twin,), members)
    return twin


def _property(name: str, doc: str | None) -> property:
    def read(self: _Twin) -> Any:
        with without_requests():
            return self._wrapped(getattr(self._original, name))

    return property(read, doc=doc)


def _method(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call_of(self: _Twin, args: tuple[Any, ...], options: dict[str, Any]) -> Callable[[], Any]:
        plain = [_original(value) for value in args]
        return partial(getattr(self._original, name), *plain, **{key: _original(value) for key, value in options.items()})

    if "Iterator" in str(inspect.signature(function).return_annotation):

        @wraps(function)
        def items(self: _Twin, *args: Any, **options: Any) -> _Items:
            return _Items(self, call_of(self, args, options))

        return items

    @wraps(function)
    async def method(self: _Twin, *args: Any, **options: Any) -> Any:
        call = call_of(self, args, options)

        def fetched() -> Any:
            result = call()
            if isinstance(result, _HANDLES):
                _ = result.summary  # Its properties then need no request.
            return result

        return self._wrapped(await self._run(fetched))

    return method


def _original(value: Any) -> Any:
    return value._original if isinstance(value, _Twin) else value


class AsyncClient(_twin_of(Client)):  # pyright: ignore[reportUntypedBaseClass] # Made above, from the client.
    """Asynchronous client of one platform: the arguments and methods of ``Client``, whose twin it is.

    >>> async with AsyncClient() as client:  # doctest: +SKIP
    ...     job = await client.train("train.py", model="churn")
    ...     await job.wait()
    ...     await client.predict("churn", frame)
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(Client(*args, **options), ThreadPoolExecutor(_THREADS, thread_name_prefix="raylift"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. Calls in progress end with an error."""
        await self._run(self._original.close)
        self._threads.shutdown(wait=False)
