"""Webhooks: requests of users."""
