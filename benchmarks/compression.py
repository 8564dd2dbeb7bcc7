"""python -m benchmarks.compression: size and speed of compression filters for shards, on clips of real video.

Writes the same clips with each filter, one chunk per clip, and reads them in random order from the page cache.
"""

import itertools
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from nr_vqm import command_line
from nr_vqm.video import clips, reader

FILTERS: dict[str, Mapping] = {
    "none": {},
    "lz4": hdf5plugin.LZ4(),
    "zstd1": hdf5plugin.Zstd(clevel=1),
    "zstd3": hdf5plugin.Zstd(clevel=3),
}
CLIP = {"clip_frames": 16, "clip_size": 224}


def main(argv: list[str] | None = None) -> None:
    """Run the command; see `--help`."""
    parser = command_line.new_parser("python -m benchmarks.compression", __doc__)
    parser.add_argument("--videos", required=True, help="a folder of real videos")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    args = parser.parse_args(argv)
    data = np.concatenate([read_clips(path) for path in usable(args.videos)])
    figures: dict[str, float] = {"clips": len(data)}
    with tempfile.TemporaryDirectory() as folder:
        for name, options in FILTERS.items():
            ratio, write, read = measure(Path(folder) / f"{name}.h5", data, options)
            figures |= {f"{name}_ratio": ratio, f"{name}_write_gb_s": write, f"{name}_read_gb_s": read}
    figures["lz4_read_over_zstd1"] = figures["lz4_read_gb_s"] / figures["zstd1_read_gb_s"]
    command_line.print_figures(figures, limits={"lz4_read_over_zstd1": 1.0}, json_path=args.json)


def usable(folder: str) -> Iterator[Path]:
    """Yield the videos of a folder, without subfolders, that have at least 960 x 540 pixels and 60 frames."""
    for path in reader.list_videos(folder):
        if path.parent == Path(folder):
            info = reader.probe(path)
            if info.width >= 960 and info.height >= 540 and info.frames >= 60:
                yield path


def read_clips(path: Path) -> np.ndarray:
    """Cut eight clips out of one video: uint8 (8, 16, 224, 224, 3)."""
    info = reader.probe(path)
    positions: dict[str, Any] = {"num_groups": 2, "block_grid": (2, 2), "stride": 16, "downscale": False}
    grid = clips.plan_grid(48, info.height, info.width, **positions, **CLIP)
    return np.concatenate(list(clips.iter_groups(itertools.islice(reader.read_frames(path), 48), grid)))


def measure(path: Path, data: np.ndarray, options: Mapping) -> tuple[float, float, float]:
    """Measure one filter: (raw / stored bytes, GB/s written, GB/s read)."""
    started = time.perf_counter()
    with h5py.File(path, "w") as file:
        stored = file.create_dataset("clips", data.shape, data.dtype, chunks=(1, *data.shape[1:]), **options)
        for number, clip in enumerate(data):
            stored[number] = clip
    write = time.perf_counter() - started
    order = np.random.default_rng(0).permutation(len(data))
    with h5py.File(path, "r") as file:
        ratio = data.nbytes / file["clips"].id.get_storage_size()
        buffer = np.empty(data.shape[1:], data.dtype)
        for _ in range(2):  # the second time from the page cache
            started = time.perf_counter()
            for number in order:
                file["clips"].read_direct(buffer, np.s_[number])
            read = time.perf_counter() - started
    return ratio, data.nbytes / write / 1e9, data.nbytes / read / 1e9


if __name__ == "__main__":
    command_line.run(main)
