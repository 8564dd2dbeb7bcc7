"""Progress without a terminal; tests/test_score_output.py has that on a terminal."""

import pytest

from nr_vqm import progress


def test_plain_lines_state_every_so_many_items_but_not_the_last(capsys):
    def line(number, seconds_left):
        assert seconds_left >= 0
        return f"{number} done"

    assert list(progress.track(iter("abcdef"), 6, "videos", every=2, line=line)) == list("abcdef")
    assert capsys.readouterr() == ("2 done\n4 done\n", "")


def test_an_error_of_an_item_is_raised():
    def items():
        yield 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(progress.track(items(), 6, "videos", every=1, line=lambda number, left: ""))


def test_a_long_name_is_shortened_at_its_start_and_made_printable():
    bar = progress.Bar(3, "videos", done=1)
    bar.start_item("folder\x1b/" + 50 * "x" + ".mp4")
    (task,) = bar._bar.tasks
    assert task.description == f"...{33 * 'x'}.mp4"
    assert (task.fields["position"], task.completed, task.total) == (2, 1, 3)
    bar.advance_item(0.25)
    assert task.completed == 1.25
    bar.finish_item()
    assert (task.fields["position"], task.completed) == (3, 2)
    bar.finish_item()
    assert (task.fields["position"], task.completed) == (3, 3)
