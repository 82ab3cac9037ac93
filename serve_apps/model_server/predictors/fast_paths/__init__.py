"""Predictions from plain columns, bit-identical to the library's."""
