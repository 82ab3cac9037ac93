"""Webhooks: deliver, and plan what follows an attempt."""
