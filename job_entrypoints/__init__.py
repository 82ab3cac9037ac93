"""The wrapper: the program that a Ray job runs. It uses the standard library only, for it runs in the script's environment.

``train`` runs one training script in three processes:

``anchor`` (train.py)  the process that Ray started. It waits, and cleans up if the monitor is killed.
``monitor`` (monitor.py)  starts the script, copies its output, watches memory and the stop file, ends the tree, and writes
    the record.
``script`` (script/runner.py)  the user's script as ``__main__``, in a fresh interpreter.

``contract`` has the names and formats that the platform shares. ``tracking`` hooks MLflow inside the script.
docs/adr/0003 gives the reasons. Modules here avoid dataclasses, typing, subprocess, argparse and pathlib, because importing
them would cost every job milliseconds.
"""
