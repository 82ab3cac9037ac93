"""Joined nodes: their agents, their ingresses, and what their replicas write."""
