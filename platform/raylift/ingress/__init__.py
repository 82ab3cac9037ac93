"""HAProxy in front of everything: its configuration, its routes by model name, its headers and token."""
