from __future__ import annotations

import pytest

from serve_apps.gateway.uploads.ray_requests import python_script


@pytest.mark.parametrize(
    ("entrypoint", "path", "args"),
    [
        ("python train.py", "train.py", ()),
        ("python3 -u jobs/train.py --n=1", "jobs/train.py", ("--n=1",)),
        ("  python   ./train.py  a ", "./train.py", ("a",)),
        ("python train.py --name 'two words' \"it's\" ''", "train.py", ("--name", "two words", "it's", "")),
        ("python train.py '$HOME' ';'", "train.py", ("$HOME", ";")),
        ("python 'my train.py'", "my train.py", ()),
    ],
)
def test_python_script_with_arguments_needs_no_shell(entrypoint: str, path: str, args: tuple[str, ...]) -> None:
    script = python_script(entrypoint)
    assert script is not None
    assert (script.path, script.args) == (path, args)


@pytest.mark.parametrize(
    "entrypoint",
    [
        "python train.py && echo done",
        "python train.py; rm x",
        "python train.py > log",
        "python train.py | tee log",
        "python train.py $HOME",
        'python train.py "$HOME"',
        "python train.py `date`",
        "python train.py *.csv",
        "python train.py ~/data",
        "python train.py {a,b}",
        "python train.py a\\ b",
        "python train.py\necho",
        "python train.py # comment",
        "N=1 python train.py",
        "python -m pkg.train",
        "python -c 'print(1)'",
        "python -X dev train.py",
        "python /opt/train.py",
        "python train",
        "python",
        "bash run.sh",
        "python2 train.py",
        "",
        "python 'unclosed.py",
    ],
)
def test_other_entrypoints_are_shell_commands(entrypoint: str) -> None:
    assert python_script(entrypoint) is None
