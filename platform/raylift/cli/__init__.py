"""The command line: one file per noun. Data goes to stdout, messages to stderr. docs/reference/cli.md lists the exit codes."""
