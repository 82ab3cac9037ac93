"""A platform that looks as in real use: 300 jobs, 12 models, 40 versions, traffic. To judge the console, and for its pictures.

    python -m tests.e2e.console.demo --url http://127.0.0.1:8000 --state-dir ~/.raylift --traffic 600

Jobs that are over are written into the store with invented figures; models, versions, deployments, traffic, running jobs and
the queue are real. Only for a fresh platform.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.e2e.console.demo.fill import fill, send_traffic

parser = argparse.ArgumentParser(prog="python -m tests.e2e.console.demo", description="Fill a fresh platform as in real use.")
parser.add_argument("--url", default="http://127.0.0.1:8000")
parser.add_argument("--state-dir", type=Path, default=Path.home() / ".raylift")
parser.add_argument("--mlflow-url", default="http://127.0.0.1:5000")
parser.add_argument("--traffic", type=float, default=0, metavar="SECONDS", help="send predictions for so long afterwards")
parser.add_argument("--traffic-only", action="store_true")
options = parser.parse_args()
if not options.traffic_only:
    fill(options.url, options.state_dir, options.mlflow_url, print)
send_traffic(options.url, options.traffic)
