"""What a Ray job runs. Standard library only, ``tracking`` apart: it lives in the script's environment, not in ours.

``train`` is the wrapper around a training script. It is three processes, each there to outlive or to end another:

``anchor`` (train.py)  the process that Ray started. Waits; cleans up if the monitor is killed.
``monitor`` (monitor.py) starts the script, copies its output, watches memory and the stop file, ends the tree, and
    writes the record.
``script`` (script/runner.py) the user's script as ``__main__``, in a fresh interpreter.

docs/adr/0003 says why. Modules here avoid dataclasses, typing, subprocess and argparse: each costs every job milliseconds.
"""
