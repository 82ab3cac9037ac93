"""One run of `raylift up`: its configuration, ports, state directory and record."""
