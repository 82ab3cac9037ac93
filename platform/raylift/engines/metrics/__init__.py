"""Files in which replicas count requests and log payloads."""
