"""Counters and payloads that replicas write to files."""
