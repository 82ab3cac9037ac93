"""Predictions that pass through the gateway: routing, relaying, shadowing."""
