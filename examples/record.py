"""Record the session that the README shows: real commands, their real output, as an animated SVG.

    make serve                                  # in another terminal
    python examples/record.py docs/session.svg

Lines appear in the order and, up to half a second, at the pace in which they came.
"""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

COMMANDS = (
    "curl -s -F file=@examples/digit.png 'http://127.0.0.1:8000/v1/models/digits-stl/predict?top_k=1'",
    "python examples/predict.py nmnist-stl examples/recording.bin --format nmnist",
    "python examples/fine_tune.py",
)
COLUMNS, ROWS = 108, 26
LINE, CHARACTER, MARGIN, BAR = 18, 7.85, 16, 30
READ_SECONDS, LONGEST_PAUSE, LAST_SECONDS = 1.2, 0.5, 6.0

STYLE = """
text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #d0d7de; white-space: pre }
.prompt { fill: #7ee787 }
.note { fill: #8b949e }
.line { opacity: 0; animation: appear 1ms linear forwards }
@keyframes appear { to { opacity: 1 } }
@media (prefers-reduced-motion: reduce) {
  .line { opacity: 1; animation: none }
  .rows { animation-duration: 1ms !important }
}
"""


class Line(NamedTuple):
    """A row of the terminal, and the seconds after which it appears."""

    at: float
    text: str
    is_prompt: bool


def output_of(command: str) -> Iterator[tuple[float, str]]:
    """The lines that a command prints, each with the seconds since the line before."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, shell=True, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        before = time.monotonic()
        for line in process.stdout:
            now = time.monotonic()
            yield now - before, line.rstrip("\n")
            before = now
    if process.returncode:
        sys.exit(f"failed with {process.returncode}: {command}")


def session() -> Iterator[Line]:
    """Run the commands; what the terminal shows, row by row."""
    clock = 0.5
    for command in COMMANDS:
        for row in textwrap.wrap(f"$ {command}", COLUMNS, subsequent_indent="    "):
            yield Line(clock, row, row.startswith("$ "))
        clock += READ_SECONDS
        for pause, text in output_of(command):
            clock += min(pause, LONGEST_PAUSE)
            for start in range(0, max(len(text), 1), COLUMNS):
                yield Line(clock, text[start : start + COLUMNS], False)
        clock += READ_SECONDS


def scrolling(lines: list[Line], seconds: float) -> str:
    """The animation that moves the rows up when there are more than the terminal has."""
    steps = [
        f"{100 * line.at / seconds:.2f}% {{ transform: translateY({-LINE * (count - ROWS)}px) }}"
        for count, line in enumerate(lines, 1)
        if count > ROWS
    ]
    last = -LINE * max(len(lines) - ROWS, 0)
    return (
        "@keyframes scroll { 0% { transform: none } "
        + " ".join(steps)
        + f" 100% {{ transform: translateY({last}px) }} }}\n"
        f".rows {{ animation: scroll {seconds:.1f}s step-end forwards }}"
    )


def row(index: int, line: Line) -> str:
    """One row as SVG text."""
    y = BAR + (index + 1) * LINE - 5
    mark, text = ('<tspan class="prompt">$</tspan> ', line.text[2:]) if line.is_prompt else ("", line.text)
    return f'<text class="line" style="animation-delay:{line.at:.2f}s" x="{MARGIN}" y="{y}">{mark}{escape(text)}</text>'


def draw(lines: list[Line]) -> str:
    """The session as an SVG document."""
    seconds = lines[-1].at + LAST_SECONDS
    width, height, inside = round(COLUMNS * CHARACTER + 2 * MARGIN), BAR + ROWS * LINE + MARGIN, ROWS * LINE
    box = f'viewBox="0 0 {width} {height}"'
    title = "stl-snn: a prediction over HTTP, one in Python, and a fine-tuning job (pauses shortened)"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" width="{width}" height="{height}" {box}>',
            f"<style>{STYLE}{scrolling(lines, seconds)}</style>",
            f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>',
            f'<text class="note" x="{MARGIN}" y="20">{title}</text>',
            f'<svg y="{BAR}" width="{width}" height="{inside}" viewBox="0 {BAR} {width} {inside}"><g class="rows">',
            *(row(index, line) for index, line in enumerate(lines)),
            "</g></svg></svg>\n",
        ]
    )


def main() -> None:
    """Run the session, write the picture."""
    (target,) = map(Path, sys.argv[1:])
    target.write_text(draw(list(session())))


if __name__ == "__main__":
    main()
