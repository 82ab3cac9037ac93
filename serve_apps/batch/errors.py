"""Errors of a batch."""

from __future__ import annotations


class BatchFailed(Exception):
    """The batch cannot go on. The message is a sentence for its user that says what to do."""
