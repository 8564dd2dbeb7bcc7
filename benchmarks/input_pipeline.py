"""python -m benchmarks.input_pipeline: speed of shuffled full batches from shards, compared with plain readers.

Reads clips of real video from the page cache. Each variant runs in its own process, one after another, in several
rounds.
"""

import itertools
import multiprocessing
import resource
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - registers the compression filters with h5py
import numpy as np

from benchmarks import compression
from nr_vqm import command_line
from nr_vqm.common import atomic_files, devices
from nr_vqm.dataset import clip_batches, manifest, shards
from nr_vqm.dataset.batches import as_dataset
from nr_vqm.dataset.data_folder import DataFolder
from nr_vqm.video import clips, reader

BATCH_SIZE = 16  # as in `paper`
EPOCH_CLIPS = 224_640  # of KoNViD-1k in the paper
MEMORY_LIMIT_GB = 2.0
GPU_CLIPS_PER_SECOND = 1500  # estimated training speed of one H200: docs/scale.md


def main(argv: list[str] | None = None) -> None:
    """Run the command; see `--help`."""
    parser = command_line.new_parser("python -m benchmarks.input_pipeline", __doc__)
    parser.add_argument("--videos", required=True, help="a folder of real videos")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--quick", action="store_true", help="fewer clips and seconds")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        write_shards(folder, args.videos, num_groups=1 if args.quick else 6)
        figures = measure(folder, seconds=0.5 if args.quick else 4, rounds=1 if args.quick else 5)
    limits = {"pipeline_over_two_readers": 0.8, "memory_limit_over_peak": 1.0}
    command_line.print_figures(figures, limits=limits, json_path=args.json)


def write_shards(folder: str, videos: str, *, num_groups: int) -> None:
    """Write a data folder with clips of real videos, one shard per video."""
    grid: dict[str, Any] = {"num_groups": num_groups, "block_grid": (2, 4), "stride": 16, "downscale": False}
    paths = list(compression.usable(videos))
    for number, path in enumerate(paths):
        info = reader.probe(path)
        with shards.writing(DataFolder(folder).shard(number), **compression.CLIP) as add:
            one = manifest.Video(video_id=path.name, path=str(path), content="", mos=3, mos_low=1, mos_high=5)
            planned = clips.plan_grid(60, info.height, info.width, **compression.CLIP, **grid)
            add(one, planned, clips.iter_groups(itertools.islice(reader.read_frames(path), 60), planned))
    atomic_files.write_json(DataFolder(folder).index, {"shards": [""] * len(paths)})


def measure(folder: str, *, seconds: float, rounds: int) -> dict[str, float]:
    """Measure all variants: {figure: median over the rounds}, in clips/s unless the name has another unit."""
    spawn = multiprocessing.get_context("spawn")
    worker_counts = sorted({1, 2, devices.cores()})
    measured: dict[str, list[float]] = {}
    with ProcessPoolExecutor(2, mp_context=spawn) as readers, ProcessPoolExecutor(1, mp_context=spawn) as pipeline:
        for number in range(rounds + 1):
            row = {"memory_copy": readers.submit(copy, folder, seconds).result()}
            row["one_reader"] = readers.submit(read, folder, seconds, time.time()).result()
            start = time.time() + 0.2
            both = [readers.submit(read, folder, seconds, start) for _ in range(2)]
            row["two_readers"] = sum(one.result() for one in both)
            for workers in worker_counts:
                row[f"pipeline_{workers}"] = pipeline.submit(feed, folder, seconds, workers).result()
            row["pipeline_over_two_readers"] = row["pipeline_2"] / row["two_readers"]
            row["pipeline_over_one_reader"] = row["pipeline_1"] / row["one_reader"]
            if number:  # the first round loads libraries and fills the page cache
                for name, value in row.items():
                    measured.setdefault(name, []).append(value)
        peak = pipeline.submit(peak_gb).result()
    figures = {name: statistics.median(values) for name, values in measured.items()}
    figures["cores_for_one_gpu"] = GPU_CLIPS_PER_SECOND / figures["pipeline_1"]
    return figures | {"peak_gb": peak, "memory_limit_over_peak": MEMORY_LIMIT_GB / peak}


def read(folder: str, seconds: float, start: float) -> float:
    """Measure clips/s of a plain loop over h5py in random order, starting at the time `start`."""
    opened = [h5py.File(path, "r")["clips"] for path in shards.read_table(folder).paths]
    places = [(dataset, row) for dataset in opened for row in range(len(dataset))]
    order = itertools.cycle(np.random.default_rng(int(time.time_ns() % 1000)).permutation(len(places)))
    buffer, count = np.empty(opened[0].shape[1:], np.uint8), 0
    time.sleep(max(0, start - time.time()))
    started = time.perf_counter()
    while time.perf_counter() < started + seconds:
        dataset, row = places[next(order)]
        dataset.read_direct(buffer, np.s_[row])
        count += 1
    return count / (time.perf_counter() - started)


def copy(folder: str, seconds: float) -> float:
    """Measure clips/s of copying decompressed clips in memory."""
    source = np.ones((64, *shards.read_table(folder).clip_shape), np.uint8)
    target, count, started = np.empty_like(source), 0, time.perf_counter()
    while time.perf_counter() < started + seconds:
        target[:] = source
        count += len(source)
    return count / (time.perf_counter() - started)


def feed(folder: str, seconds: float, workers: int) -> float:
    """Measure clips/s of the input pipeline, delivered as TensorFlow tensors."""
    devices.start(hide_startup_lines=True)
    table = shards.read_table(folder)
    # A few clips repeated many times: a real epoch has thousands of batches.
    rows, quality = np.tile(np.arange(len(table)), EPOCH_CLIPS // len(table)), np.full(len(table), 3, np.float32)
    batches = clip_batches.ClipBatches(table, rows, quality, batch_size=BATCH_SIZE, shuffle_seed=1, mirror=True)
    count, started = 0, time.perf_counter()
    for part, _, _ in as_dataset(batches, workers=workers):
        count += len(part)
        if time.perf_counter() > started + seconds:
            return count / (time.perf_counter() - started)
    raise ValueError(f"More than {EPOCH_CLIPS} clips in {seconds} s: raise EPOCH_CLIPS.")


def peak_gb() -> float:
    """Return the peak memory of this process in gigabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    command_line.run(main)
