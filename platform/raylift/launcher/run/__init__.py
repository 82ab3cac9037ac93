"""Configuration, ports, directories and record of one `raylift up`."""
