"""An attempt on a node that does not see the state directory: all of it comes and goes through the gateway."""

from __future__ import annotations

from typing import Any


def test_script_runs_and_its_files_reach_the_platform(world: Any) -> None:
    job = world.job(
        "import os, sys\nprint(os.getcwd(), sys.argv[1:], os.environ['GREETING'])\n",
        args=("a", "b"),
        environment={"GREETING": "hello"},
    )
    node = world.run(job)
    end = world.ended(node)
    assert (end["outcome"], end["exit_code"]) == ("exited", 0)
    assert world.output(node).decode() == f"{node.files}/work ['a', 'b'] hello\n"
    node.wait()
    assert node.process.returncode == 0
    assert not node.files.exists()
