"""Repositories: one class per subject. Every method is one transaction."""
