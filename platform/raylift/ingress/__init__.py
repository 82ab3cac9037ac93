"""HAProxy in front of the platform: its configuration, its routes by model name, its token."""
