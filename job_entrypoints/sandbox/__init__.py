"""The sandbox of a script: its files, ports, user and namespaces."""
