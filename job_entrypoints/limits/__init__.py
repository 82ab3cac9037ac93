"""Enforcement of an attempt's CPU, memory and disk limits."""
