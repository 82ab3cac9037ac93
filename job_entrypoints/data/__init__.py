"""The data of an attempt: read-only copies of its datasets, kept on the node by content."""
