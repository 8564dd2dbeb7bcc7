"""python -m benchmarks.chaos: kill every stage at random moments; the results are those of an uninterrupted run.

The same commands run once uninterrupted and once killed repeatedly (kill -9); both must give the same results. The
first round is prep, train, features, rivals, compare, finetune, fcn_lstm, ablations, cross_database and report. Before
the second round one label is corrected; the stages after train must then replace their results. It uses the synthetic
database with preset `tiny`; prep runs two worker processes, which are killed with it.
"""

import dataclasses
import itertools
import json
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
FEW_KILLS = 6  # with at most this number only prep, train, features and compare are run
WEIGHTS_TOLERANCE = 1e-6
LONGEST = 600  # seconds that one stage may take
ABLATIONS = ("lstm_units",)
RIVALS = ("niqe", "brisque")  # the fastest methods


@dataclasses.dataclass(frozen=True)
class Step:
    """A command, and the files of its result; if they are deleted, it has to create them again."""

    command: list[str]
    results: list[Path]


def main(argv=None):
    args = _parser().parse_args(argv)
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, broken, other = (Path(folder) / name for name in ("whole", "broken", "other"))
        short = args.kills <= FEW_KILLS
        if short:
            print(f"{args.kills} kills: only {', '.join(names(steps(broken, other, short)))} are run.", flush=True)
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
        help=f"number of kills over all stages; with {FEW_KILLS} or fewer only prep, train, features and compare",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments")
    parser.add_argument("--json", help="file for the figures")
    return parser


def rounds(folder, other, short):
    """Yield the steps of the first round; after them correct a label and yield the steps of the second round."""
    yield steps(folder, other, short)
    correct_label(folder / "data")
    yield steps(folder, other, short)[2:]


def names(list_of_steps):
    return [step.command[0].removeprefix("experiments.") for step in list_of_steps]


def prep(folder, *, seed):
    """Return the step that prepares a data folder."""
    command = ["data_prep", "synthetic", "--out", str(folder), *SETTINGS, "--set", f"seed={seed}", "--workers", "2"]
    return Step(command, [DataFolder(folder).index, DataFolder(folder).shard(0)])


def steps(folder, other, short):
    """Return the steps in order.

    Args:
        folder: parent of the data folder and the run folders.
        other: another data folder, for cross_database.
        short: return only the steps up to compare.
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
    rivals = [run.rival_features(name) for name in RIVALS]
    return [
        *found[:3],
        Step(["experiments.extract_rivals", *data, *at, "--rivals", ",".join(RIVALS)], rivals),
        *found[3:],
        # The head starts from that of the same run, which saves the training on another database.
        Step(["experiments.finetune", *at, "--start", str(run)], [run.head("lstm_finetuned")]),
        # From random weights: a second fit of the other heads does not change its start.
        Step(
            ["experiments.train_fcn_lstm", *data, *at, "--from-scratch"],
            [run.head("fcn_lstm"), run.fcn_lstm.training_state],
        ),
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
    """Change the MOS of one usable video, which makes all heads outdated."""
    path = DataFolder(data).manifest
    videos = manifest.read(path)
    number = next(number for number, one in enumerate(videos) if one.status == manifest.OK)
    one = videos[number]
    mos = one.mos + (0.5 if one.mos + 0.5 <= one.mos_high else -0.5)
    manifest.write(path, [*videos[:number], dataclasses.replace(one, mos=mos), *videos[number + 1 :]])


def start(step):
    """Start the process of a step in its own process group, so that its workers are killed with it."""
    return subprocess.Popen([sys.executable, "-m", *step.command], stdout=subprocess.DEVNULL, start_new_session=True)


def timed(step):
    """Run a step uninterrupted and return its seconds."""
    started = time.monotonic()
    finish(start(step), step)
    return time.monotonic() - started


def finish(process, step):
    if process.wait(LONGEST):
        raise ValueError(f"{step.command[0]} ended with exit code {process.returncode}. The reason is above.")


def kill_all(all_rounds, seconds, wanted, rng):
    """Run all steps to their end with `wanted` kills, spread over them; return the numbers of kills and starts."""
    kills, starts, left = 0, 0, sum(map(len, seconds))
    for number, (one, usual_seconds) in enumerate(zip(all_rounds, seconds, strict=True), start=1):
        for step, usual in zip(one, usual_seconds, strict=True):
            quota = (wanted - kills) // left
            starts += kill_repeatedly(step, usual, quota, rng, f"round {number}")
            kills, left = kills + quota, left - 1
    return kills, starts


def kill_repeatedly(step, usual, quota, rng, text):
    """Run a step to its end with `quota` kills at random moments of its usual time; return the number of starts."""
    kills, starts = 0, 0
    while True:
        process, starts, started = start(step), starts + 1, time.monotonic()
        if kills >= quota:
            finish(process, step)
            return starts
        try:
            process.wait(rng.uniform(0, usual))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            print(f"{text}: {step.command[0]} killed after {time.monotonic() - started:.1f} s", flush=True)
        else:  # it ended before it was killed: its results are deleted, so that the next start has work to do
            finish(process, step)
            usual = min(usual, time.monotonic() - started)
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
    for parts in (two.feature_parts, *(two.rival_parts(name) for name in RIVALS)):
        if parts.exists():
            yield f"left behind: {parts}"
    tables = [one.ablation_table(setting) for setting in ABLATIONS]
    for path in (one.splits, one.scores, one.metrics, one.results_table, *tables):
        if path.exists():
            yield from _different_text(whole, broken, path.relative_to(whole))
    for path in (one.features, *(one.rival_features(name) for name in RIVALS)):
        if path.exists():
            yield from _different_features(path, two.path / path.relative_to(one.path))
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
        yield f"{name}: {first[0]!r} without kills, {first[1]!r} with kills"


def _lines(path):
    """Return the lines of a text file, without measured times; an empty list if the file is missing."""
    if not path.exists():
        return []
    text = path.read_text()
    if path.name == stage_records.RESULTS_TABLE:
        text = re.sub(r"\| \d+\.\d\d \| (?=\d+ \|)", "| hours | ", text)
        text = re.sub(r"^(\| [^|]+ \| [^|]+ \|) \d+\.\d+ \|", r"\1 seconds a video |", text, flags=re.MULTILINE)
    if path.name == stage_records.METRICS:
        metrics = json.loads(text)
        metrics.pop("seconds_per_video", None)
        text = json.dumps(metrics, indent=1)
    return text.splitlines()


def _different_features(one, two):
    with h5py.File(one) as first, h5py.File(two) as second:
        for name in first:
            if name != "seconds":
                values, others = first[name][:], second[name][:]
                if not np.array_equal(values, others, equal_nan=values.dtype.kind == "f"):
                    yield f"{two} {name}"


def _different_stages(one, two):
    """Yield a line if other stages are complete in one run than in the other."""
    complete = [[name for name in stage_records.STAGES if run.is_complete(name)] for run in (one, two)]
    if complete[0] != complete[1]:
        yield f"{one}: complete stages are {complete[0]} without kills, {complete[1]} with kills"


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
