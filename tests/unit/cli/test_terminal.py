"""Text of jobs and of the platform on a terminal: nothing in it commands the terminal."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime

import pytest
from rich.console import Console

from raylift.api.training import JobView
from raylift.cli.printing import echo, print_facts, print_json, print_table, say
from raylift.client.jobs.progress import ProgressDisplay
from raylift.client.terminal_text import printable

ESCAPED = "a\x1b[2J\x1b[31mb\x1b[0m\x1b]0;title\x07c\x1b]8;;http://evil\x1b\\d\x9b1me\x1bP1;2q#\x1b\\f\x1bcg\x07\x08\x00h\x7f"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (ESCAPED, "abcdefgh"),
        ("line\n\tindented\r", "line\n\tindented\r"),
        ("größer 🙂 [bold]x[/bold]", "größer 🙂 [bold]x[/bold]"),
        ("\x1b]52;c;cm0gLXJm", ""),
        ("x\x1b", "x"),
        ("\u202egnp.exe", "gnp.exe"),
        ("\x1b[\x1b[31mx", "x"),
    ],
)
def test_escape_sequences_and_control_characters_are_removed(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("is_terminal", [True, False])
def test_output_is_cleaned_for_terminals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_terminal: bool
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    echo(f"1{ESCAPED}")
    print_json({"name": f"2{ESCAPED}"})
    say(f"3{ESCAPED}")
    print_table(("NAME",), [(f"4{ESCAPED}",)])
    print_facts([("name", f"5{ESCAPED}")])
    out, err = capsys.readouterr()
    # Colours of the table are ours.
    assert "\x07" not in out + err if is_terminal else "\x07" in out
    for number in "1345" if is_terminal else "45":
        assert f"{number}abcdefgh" in out + err


def test_markup_in_names_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(("[RED]a[/RED]",), [("[link=http://evil]x[/link]",)])
    print_facts([("[red]b[/red]", "[red]c[/red]")])
    out = capsys.readouterr().out
    for text in ("[RED]A[/RED]", "[link=http://evil]x[/link]", "[red]b[/red]", "[red]c[/red]"):
        assert text.lower() in out.lower()


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_reasons_and_notes_as_they_are(terminal: bool) -> None:
    console = Console(record=True, width=200, force_terminal=terminal, file=io.StringIO())
    view = JobView.model_construct(
        job_id="job_1[red]",
        phase="script",
        phases={"script": 1.0},
        status="failed",
        reason="x\x1b[2J",
        environment_progress=None,
        environment_note="[red]note\x1b]0;t\x07[/red]",
        queue_position=None,
        created_at=datetime.now(UTC),
    )
    with ProgressDisplay("job_1", console) as display:
        display(view, None)
    shown = console.export_text()
    assert "Note: [red]note[/red]" in shown
    assert "job_1[red] script 1.0 s" in shown
    assert "\x1b[2J" not in shown
