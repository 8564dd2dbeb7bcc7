"""python -m benchmarks.chaos: kill -9 at random moments of every stage; the results are those of an uninterrupted run.

The same commands run once uninterrupted and once killed again and again; both must end with the same results. First
prep, train, features, compare, finetune, ablations, cross_database and report; then, with one label corrected, the
stages after train again, which must replace what they made before. On the synthetic database, preset `tiny`; prep runs
in two worker processes, which are killed with it.
"""

import dataclasses
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from nr_vqm import command_line
from nr_vqm.common import folder_lock
from nr_vqm.dataset import manifest
from nr_vqm.dataset.data_folder import DataFolder
from nr_vqm.runs import stage_records
from nr_vqm.runs.run_folder import RunFolder

SETTINGS = [*"--preset tiny --set synthetic_videos=24 --set epochs=4 --set head_epochs=6 --set dropout=0.3".split()]
FEW_KILLS = 6  # so many or fewer kill only a part of the stages
WEIGHTS_TOLERANCE = 1e-6
LONGEST = 600  # seconds for one start of a stage
ABLATIONS = ("lstm_units",)


@dataclasses.dataclass(frozen=True)
class Step:
    """A command, and those of its files without which it has to work again."""

    command: list[str]
    results: list[Path]


def main(argv=None):
    args = _parser().parse_args(argv)
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, broken, other = (Path(folder) / name for name in ("whole", "broken", "other"))
        short = args.kills <= FEW_KILLS
        if short:
            print(f"{args.kills} kills: of {', '.join(names(steps(broken, other, short)))} only.", flush=True)
        else:
            finish(start(prep(other, seed=2)), prep(other, seed=2))
        seconds = [[timed(step) for step in one] for one in rounds(whole, other, short)]
        kills, starts = kill_all(rounds(broken, other, short), seconds, args.kills, rng)
        differences = compare(whole, broken)
    for line in differences:
        print(f"DIFFERENT: {line}")
    figures = {"kills": kills, "starts": starts, "nothing_lost": float(not differences)}
    command_line.print_figures(figures, limits={"kills": args.kills, "nothing_lost": 1}, json_path=args.json)
    return command_line.EXIT_FAILED if differences else 0


def _parser():
    parser = command_line.new_parser("python -m benchmarks.chaos", __doc__)
    parser.add_argument(
        "--kills",
        type=command_line.positive,
        default=30,
        help=f"kill -9 in all, spread over the stages; {FEW_KILLS} or fewer leave out finetune and what follows it",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--json", help="write the figures there")
    return parser


def rounds(folder, other, short):
    """Yield the steps of the first fit; when they have run, correct a label and yield those of the second."""
    yield steps(folder, other, short)
    correct_label(folder / "data")
    yield steps(folder, other, short)[2:]


def names(list_of_steps):
    return [step.command[0].removeprefix("experiments.") for step in list_of_steps]


def prep(folder, *, seed):
    """The step that makes a data folder."""
    command = ["data_prep", "synthetic", "--out", str(folder), *SETTINGS, "--set", f"seed={seed}", "--workers", "2"]
    return Step(command, [DataFolder(folder).index, DataFolder(folder).shard(0)])


def steps(folder, other, short):
    """The steps in order.

    Args:
        folder: where their folders are.
        other: another data folder, for cross_database.
        short: leave out those after compare.
    """
    run, cross, data = RunFolder(folder / "run"), RunFolder(folder / "cross"), ["--data", str(folder / "data")]
    at = ["--run", str(run)]
    (setting,) = ABLATIONS
    variant = run.ablation(setting, "8")
    found = [
        prep(folder / "data", seed=1),
        Step(["experiments.train_cnn", *data, *at, *SETTINGS], [run.cnn3d, run.training_state]),
        Step(["experiments.extract_features", *data, *at], [run.features]),
        Step(["experiments.compare_heads", *at], [run.score_file("compare"), run.head("svr")]),
    ]
    if short:
        return found
    return [
        *found,
        # The head starts from that of the same run: another database is not needed to be killed.
        Step(["experiments.finetune", *at, "--start", str(run)], [run.head("lstm_finetuned")]),
        Step(
            ["experiments.ablations", setting, *data, *at],
            [run.ablation_table(setting), variant.head("lstm")],
        ),
        Step(
            ["experiments.cross_database", *at, "--data", str(other), "--out", str(cross)],
            [cross.score_file("cross_database"), cross.features],
        ),
        Step(["experiments.report", *at], [run.report]),
    ]


def correct_label(data):
    """Move the MOS of one usable video, as a laboratory corrects its table: what was fitted on it is out of date."""
    path = DataFolder(data).manifest
    videos = manifest.read(path)
    number = next(number for number, one in enumerate(videos) if one.status == manifest.OK)
    one = videos[number]
    mos = one.mos + (0.5 if one.mos + 0.5 <= one.mos_high else -0.5)
    manifest.write(path, [*videos[:number], dataclasses.replace(one, mos=mos), *videos[number + 1 :]])


def start(step):
    """The process of a step, with a process group of its own: its workers are to be killed with it."""
    return subprocess.Popen([sys.executable, "-m", *step.command], stdout=subprocess.DEVNULL, start_new_session=True)


def timed(step):
    """Seconds that an uninterrupted step takes."""
    began = time.monotonic()
    finish(start(step), step)
    return time.monotonic() - began


def finish(process, step):
    if process.wait(LONGEST):
        raise ValueError(f"{step.command[0]} ended with exit code {process.returncode}. Its reason is above.")


def kill_all(all_rounds, seconds, wanted, rng):
    """Run every step of every round to its end, `wanted` kills in all spread over them; (kills, starts)."""
    kills, starts, left = 0, 0, sum(map(len, seconds))
    for number, (one, usual_seconds) in enumerate(zip(all_rounds, seconds, strict=True), start=1):
        for step, usual in zip(one, usual_seconds, strict=True):
            quota = (wanted - kills) // left
            starts += kill_again_and_again(step, usual, quota, rng, f"fit {number}")
            kills, left = kills + quota, left - 1
    return kills, starts


def kill_again_and_again(step, usual, quota, rng, text):
    """Run a step to its end, killing it `quota` times at moments within its usual time; how often it was started."""
    kills, starts = 0, 0
    while True:
        process, starts, began = start(step), starts + 1, time.monotonic()
        if kills >= quota:
            finish(process, step)
            return starts
        try:
            process.wait(rng.uniform(0, usual))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            print(f"{text}: {step.command[0]} killed after {time.monotonic() - began:.1f} s", flush=True)
        else:  # it ended before its moment: what it made is deleted, so that there is something to kill
            finish(process, step)
            usual = min(usual, time.monotonic() - began)
            for path in step.results:
                path.unlink(missing_ok=True)


def compare(whole, broken):
    """Return the differences between two folders as lines of text, and the temporary files left in the second."""
    temporary = itertools.chain(broken.rglob(".*.part-*"), broken.rglob(folder_lock.HOLDER_FILE))
    differences = [f"left behind: {path}" for path in temporary]
    differences += _different_text(whole, broken, DataFolder("data").index)
    for path in sorted(whole.rglob(stage_records.FACTS)):
        other = RunFolder((broken / path.relative_to(whole)).parent)
        differences += _different_runs(RunFolder(path.parent), other, whole, broken)
    return differences


def _different_runs(one, two, whole, broken):
    """Yield the differences between the files of a run in the folder `whole` and those of the same run in `broken`."""
    if two.feature_parts.exists():
        yield f"left behind: {two.feature_parts}"
    tables = [one.ablation_table(setting) for setting in ABLATIONS]
    for path in (one.splits, one.scores, one.metrics, one.results_table, *tables):
        if path.exists():
            yield from _different_text(whole, broken, path.relative_to(whole))
    if one.features.exists():
        yield from _different_features(one.features, two.features)
    if one.report.exists():
        images = [re.findall(r'src="(data:[^"]+)"', run.report.read_text()) for run in (one, two)]
        if images[0] != images[1]:
            yield f"{one.report.relative_to(whole)}: its figures"
    yield from _different_stages(one, two)
    yield from _different_weights(one, two)


def _different_text(whole, broken, name):
    """Yield the first difference between the lines of a text file in two folders."""
    one, two = (_lines(folder / name) for folder in (whole, broken))
    if one != two:
        first = next(pair for pair in itertools.zip_longest(one, two) if pair[0] != pair[1])
        yield f"{name}: {first[0]!r} uninterrupted, {first[1]!r} after the kills"


def _lines(path):
    """The lines of a text, without the hours of results.md; none where the file is missing."""
    if not path.exists():
        return []
    text = path.read_text()
    if path.name == stage_records.RESULTS_TABLE:
        text = re.sub(r"\| \d+\.\d\d \| (?=\d+ \|)", "| hours | ", text)
    return text.splitlines()


def _different_features(one, two):
    with h5py.File(one) as first, h5py.File(two) as second:
        return [f"{two} {name}" for name in first if not np.array_equal(first[name], second[name])]


def _different_stages(one, two):
    """Yield a line if other stages are complete in one run than in the other."""
    complete = [[name for name in stage_records.STAGES if run.is_complete(name)] for run in (one, two)]
    if complete[0] != complete[1]:
        yield f"{one}: complete are {complete[0]}, after the kills {complete[1]}"


def _different_weights(one, two):
    """Yield a line for each network whose weights differ."""
    from nr_vqm.common import devices

    devices.start(hide_startup_lines=True)
    import keras

    for path in one.models():
        if path.suffix != ".keras":
            continue
        weights = [keras.models.load_model(run.path / path.name).get_weights() for run in (one, two)]
        largest = max(np.abs(first - second).max() for first, second in zip(*weights, strict=True))
        if largest > WEIGHTS_TOLERANCE:
            yield f"{path}, by {largest:.2g}"


if __name__ == "__main__":
    command_line.run(main)
