"""Predictions through the gateway: routing, forwarding, shadowing."""
