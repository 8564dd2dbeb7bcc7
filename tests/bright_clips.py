"""A data folder of twelve videos of three clips each; the brighter, the better."""

import numpy as np

from nr_vqm.common import atomic_files
from nr_vqm.dataset import clip_batches, manifest, shards
from nr_vqm.dataset.data_folder import DataFolder


def write(folder):
    """Write the data folder as prep does and return it."""
    rng = np.random.default_rng(0)
    with shards.writing(DataFolder(folder).shard(0), clip_frames=7, clip_size=24) as add:
        for video in videos():
            level = 40 * (video.mos - 1)
            groups = (rng.normal(40 + level, 8, (1, 7, 24, 24, 3)).clip(0, 255).astype(np.uint8) for _ in range(3))
            grid = type("Grid", (), {"corners": [(0, 0)], "starts": (0, 1, 2)})
            add(video, grid, groups)
    atomic_files.write_json(DataFolder(folder).index, {"shards": ["x"]})
    return folder


def videos():
    """Return the rows of the manifest."""
    return [
        manifest.Video(video_id=f"v{i}", path="", content=f"c{i}", mos=1 + i % 5, mos_low=1, mos_high=5)
        for i in range(12)
    ]


def batches(data_dir, first, last, *, batch_size=4, shuffle_seed=1, mirror=False):
    """Return the batches of the clips of the videos `first` to `last` - 1."""
    table = shards.read_table(data_dir)
    rows = clip_batches.clip_rows(table, [f"v{i}" for i in range(first, last)])
    quality = clip_batches.clip_labels(table, videos())
    return clip_batches.ClipBatches(
        table, rows, quality, batch_size=batch_size, shuffle_seed=shuffle_seed, mirror=mirror
    )
