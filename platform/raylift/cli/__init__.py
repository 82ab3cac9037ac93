"""The command line: one file per noun. Data goes to stdout, messages to stderr. docs/cli.md lists the exit codes."""
