"""Webhooks: events, filters, deliveries, and the addresses that may be asked."""
