"""The progress of a command on a terminal: one bar with the current item, the rate and the time left.

The bar is on standard error. If that is not a terminal, there is none, and commands print their plain lines.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Self, TypeVar

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from nr_vqm.common import safe_output

Item = TypeVar("Item")
SPEED_SECONDS = 600.0  # the rate is the mean of the last ten minutes
MAX_NAME = 40  # columns of the current item, on a wide terminal


def is_shown() -> bool:
    """Return whether standard error is a terminal that can show a bar."""
    if not sys.stderr.isatty():  # rich takes any stream for a terminal where FORCE_COLOR is set
        return False
    console = Console(stderr=True)
    return console.is_terminal and not console.is_dumb_terminal


class Bar:
    """A progress bar for a known number of items. Use it as a context manager; it disappears at the end.

    It always has one line. Rich erases as many lines as the bar had before, also those that were printed in `hidden`.

    Attributes:
        shown: whether there is a bar; if not, the methods show nothing.
    """

    def __init__(self, total: int, unit: str, *, done: int = 0, quiet: bool = False) -> None:
        """Prepare a bar.

        Args:
            total: number of items.
            unit: their name in the plural, for the rate: 'videos'.
            done: number of items that were finished by an earlier command.
            quiet: show nothing.
        """
        self.shown = not quiet and is_shown()
        self._bar = Progress(
            TextColumn("{task.fields[position]}/{task.total:.0f}"),
            _Name(),
            BarColumn(bar_width=24),
            _Rate(unit),
            _TimeLeft(),
            console=Console(stderr=True),
            transient=True,
            speed_estimate_period=SPEED_SECONDS,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._done = done
        self._task = self._bar.add_task(unit, total=total, completed=done, position=min(done + 1, total))

    def __enter__(self) -> Self:
        if self.shown:
            self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.shown:
            self._bar.stop()

    def start_item(self, name: str) -> None:
        """Show the name of the current item."""
        name = shortened(safe_output.printable(name), MAX_NAME)
        position = min(self._done + 1, int(self._bar.tasks[0].total or 0))
        self._bar.update(self._task, description=name, position=position, refresh=self.shown)

    def advance_item(self, share: float) -> None:
        """Show which share of the current item is finished, 0-1."""
        self._bar.update(self._task, completed=self._done + min(1.0, share))

    def finish_item(self) -> None:
        """Count the current item as finished."""
        self._done += 1
        position = min(self._done + 1, int(self._bar.tasks[0].total or 0))
        self._bar.update(self._task, completed=self._done, position=position)

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        """Hide the bar while lines are printed."""
        if not self.shown:
            yield
            return
        self._bar.stop()
        try:
            yield
            sys.stdout.flush()
        finally:
            self._bar.start()


def track(
    items: Iterable[Item], total: int, unit: str, *, every: int, line: Callable[[int, float], str]
) -> Iterator[Item]:
    """Yield the items as they finish, and show the progress: a bar, or plain lines where there is no terminal.

    Args:
        items: finished items, in any order.
        total: their number.
        unit: see `Bar`.
        every: number of items between two plain lines.
        line: (number of finished items, estimated seconds left) -> a plain line.
    """
    started = time.monotonic()
    with Bar(total, unit) as bar:
        for number, item in enumerate(items, start=1):
            bar.finish_item()
            if not bar.shown and number % every == 0 and number < total:
                left = (time.monotonic() - started) / number * (total - number)
                print(line(number, left), flush=True)
            yield item


class _Name(ProgressColumn):
    """The name of the current item; it and the bar give way on a narrow terminal."""

    def render(self, task: Task) -> "_End":
        return _End(task.description)


class _End:
    """A text on one line, shortened at its start to the columns that a table leaves for it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, min(cell_len(self.text), options.max_width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(shortened(self.text, options.max_width), no_wrap=True, overflow="crop")


class _Rate(ProgressColumn):
    """Items per second or per minute."""

    def __init__(self, unit: str) -> None:
        super().__init__(Column(no_wrap=True))
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(rate(speed, self.unit) if speed else "")


class _TimeLeft(ProgressColumn):
    """'0:40 left'."""

    def __init__(self) -> None:
        super().__init__(Column(no_wrap=True))

    def render(self, task: Task) -> Text:
        if task.time_remaining is None:
            return Text("")
        return Text(f"{clock(task.time_remaining)} left")


def shortened(text: str, columns: int) -> str:
    """Shorten a text at its start to a number of columns of a terminal.

    >>> shortened("videos/park.mp4", 11), shortened("park.mp4", 11), shortened("park.mp4", 2)
    ('...park.mp4', 'park.mp4', 'p4')
    """
    if cell_len(text) <= columns:
        return text
    dots = "..." if columns > 6 else ""
    while text and cell_len(dots + text) > columns:
        text = text[1:]
    return dots + text


def rate(speed: float, unit: str) -> str:
    """Format a rate, given per second, in the unit of time that gives a number above 1.

    >>> rate(2.5, "videos"), rate(0.05, "videos"), rate(0.001, "epochs")
    ('2.5 videos/s', '3.0 videos/min', '3.6 epochs/h')
    """
    for seconds, name in ((1, "s"), (60, "min")):
        if speed * seconds >= 1:
            return f"{speed * seconds:.1f} {unit}/{name}"
    return f"{3600 * speed:.1f} {unit}/h"


def clock(seconds: float) -> str:
    """Format a duration as minutes and seconds, or as hours, minutes and seconds.

    >>> clock(40), clock(3725)
    ('0:40', '1:02:05')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
