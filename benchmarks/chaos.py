"""python -m benchmarks.chaos: kill -9 at random moments of prep, train, features and compare; nothing may be lost.

The same commands run once undisturbed and once killed again and again; both must end with the same results. On the
synthetic database, preset `tiny`; prep in two worker processes, which are killed with it.
"""

import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from nr_vqm import commands

SETTINGS = [*"--preset tiny --set synthetic_videos=24 --set epochs=4 --set head_epochs=6 --set dropout=0.3".split()]
WEIGHTS_TOLERANCE = 1e-6
LONGEST = 600  # seconds for one start of a stage


def main(argv=None):
    parser = commands.new_parser("python -m benchmarks.chaos", __doc__)
    parser.add_argument("--kills", type=commands.positive, default=30, help="kill -9 in all, spread over the stages")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--json", help="write the figures there")
    args = parser.parse_args(argv)
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = Path(folder) / "whole", Path(folder) / "broken"
        seconds = [timed(stage) for stage in stages(whole)]
        kills, starts = 0, 0
        for number, (stage, usual) in enumerate(zip(stages(broken), seconds, strict=True)):
            wanted = (args.kills - kills) // (len(seconds) - number)
            kills, starts = kill_again_and_again(stage, usual, wanted, rng, kills, starts)
        differences = compare(whole, broken)
    for line in differences:
        print(f"DIFFERENT: {line}")
    figures = {"kills": kills, "starts": starts, "nothing_lost": float(not differences)}
    commands.print_figures(figures, limits={"kills": args.kills, "nothing_lost": 1}, json_path=args.json)
    return commands.EXIT_FAILED if differences else 0


def stages(folder):
    """The commands of the four stages, in order."""
    data, run = ["--data", str(folder / "data")], ["--run", str(folder / "run")]
    return [
        ["data_prep", "synthetic", "--out", str(folder / "data"), *SETTINGS, "--workers", "2"],
        ["experiments.train_cnn", *data, *run, *SETTINGS],
        ["experiments.extract_features", *data, *run],
        ["experiments.compare_heads", *run],
    ]


def start(stage):
    """The process of a stage, with a process group of its own: its workers are to be killed with it."""
    return subprocess.Popen([sys.executable, "-m", *stage], stdout=subprocess.DEVNULL, start_new_session=True)


def timed(stage):
    """Seconds that an undisturbed stage takes."""
    began = time.monotonic()
    finish(start(stage), stage)
    return time.monotonic() - began


def finish(process, stage):
    if process.wait(LONGEST):
        raise ValueError(f"{stage[0]} ended with exit code {process.returncode}. Its reason is above.")


def kill_again_and_again(stage, usual, wanted, rng, kills, starts):
    """Run a stage to its end, killing it that often, at moments within its usual time; (kills, starts) so far."""
    done = 0
    while True:
        process, starts, began = start(stage), starts + 1, time.monotonic()
        if done >= wanted:
            finish(process, stage)
            return kills + done, starts
        try:
            process.wait(rng.uniform(0, usual))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            done += 1
            print(f"kill {kills + done}: {stage[0]} after {time.monotonic() - began:.1f} s", flush=True)
        else:  # it ended before its moment: what it made goes, so that there is something to kill
            finish(process, stage)
            usual = min(usual, time.monotonic() - began)
            remove_result(stage)


def remove_result(stage):
    """Delete what a finished stage would not make again otherwise."""
    folder = Path(stage[stage.index("--out" if "--out" in stage else "--run") + 1])
    names = {
        "data_prep": ["index.json", "clips-00000.h5"],
        "experiments.train_cnn": ["training_state.json", "cnn3d.keras"],
        "experiments.extract_features": ["features.h5"],
        "experiments.compare_heads": ["scores.csv", "svr.skops"],
    }[stage[0]]
    for name in names:
        (folder / name).unlink(missing_ok=True)


def compare(whole, broken):
    """What differs between two folders, a line each; and what killed writers left behind."""
    differences = [f"left behind: {path}" for path in broken.rglob(".*.part-*")]
    for name in ("data/index.json", "run/splits.json", "run/scores.csv", "run/metrics.json"):
        one, two = ((folder / name).read_text().splitlines() for folder in (whole, broken))
        if one != two:
            first = next(pair for pair in itertools.zip_longest(one, two) if pair[0] != pair[1])
            differences.append(f"{name}: {first[0]!r} undisturbed, {first[1]!r} after the kills")
    files = [h5py.File(folder / "run" / "features.h5") for folder in (whole, broken)]
    differences += [f"features.h5 {name}" for name in files[0] if not np.array_equal(files[0][name], files[1][name])]
    from nr_vqm import devices

    devices.start(hide_startup_lines=True)
    import keras

    for name in ("cnn3d.keras", "lstm_head.keras", "lstm_features_head.keras"):
        weights = [keras.models.load_model(folder / "run" / name).get_weights() for folder in (whole, broken)]
        largest = max(np.abs(one - two).max() for one, two in zip(*weights, strict=True))
        if largest > WEIGHTS_TOLERANCE:
            differences.append(f"{name}, by {largest:.2g}")
    return differences


if __name__ == "__main__":
    commands.run(main)
