"""Start, discovery and end of processes on this machine."""
