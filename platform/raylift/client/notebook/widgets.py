"""Live progress in a notebook, by ipywidgets."""

from __future__ import annotations

import sys
from html import escape
from importlib import import_module
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self

from raylift.api.sweeps import SweepView
from raylift.api.training import JobView
from raylift.client.http.errors import RayliftError
from raylift.client.notebook.html import progress_html, sweep_html


def has_widgets() -> bool:
    """Return True in a Jupyter kernel that has ipywidgets. A terminal's IPython has no place for them."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None and find_spec("ipywidgets") is not None


class WidgetDisplay:
    """Shows fetched views in one place of the notebook. A report, and a context manager."""

    def __init__(self, name: str, base_url: str) -> None:
        self._name = name
        self._base_url = base_url
        self._widget: Any = import_module("ipywidgets").HTML(f"<code>{escape(name)}</code> …")

    def __enter__(self) -> Self:
        import_module("IPython.display").display(self._widget)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return

    def __call__(self, view: JobView | SweepView | None, error: RayliftError | None) -> None:
        if isinstance(view, JobView):
            self._widget.value = progress_html(view)
        elif view is not None:
            self._widget.value = sweep_html(view, view.jobs, self._base_url)
        else:
            detail = escape(str(error))
            self._widget.value = f"<code>{escape(self._name)}</code>: trying again, the platform does not answer ({detail})"
