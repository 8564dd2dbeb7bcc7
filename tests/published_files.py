"""A small copy of the published files, with MOS that depend on a feature of each set."""

import csv

import numpy as np
import scipy.io

from nr_vqm.handcrafted.methods import METHODS
from nr_vqm.teacher import published_rows

MOS_OF = {"konvid1k": lambda q: 2.5 + q, "live_vqc": lambda q: 20 * q + 40, "youtube_ugc": lambda q: 3 + 0.8 * q}


def write(folder, *, num_videos=40, seed=1, left_out=((3, 7), (0,), ()), noise=0.1, change=None):
    """Write the files of three databases and leave_out.csv; `change(database, mos)` may alter the MOS."""
    rng, lines = np.random.default_rng(seed), []
    for (name, files), rows in zip(published_rows.DATABASES.items(), left_out, strict=True):
        tables = {key: rng.normal(size=(num_videos, METHODS[key].num_features)) for key in published_rows.PUBLISHED}
        quality = 0.6 * tables["brisque"][:, 0] - 0.4 * tables["videval"][:, 5] + noise * rng.normal(size=num_videos)
        mos = MOS_OF[name](quality)
        if change:
            mos = change(name, mos)
        for key, table in tables.items():
            scipy.io.savemat(folder / f"{files.prefix}_{key.upper()}_feats.mat", {"feats": table})
        names = [f"{name}-{number}" for number in range(num_videos)]
        _write_csv(folder / f"{files.prefix}_metadata.csv", [(files.name, files.mos), *zip(names, mos, strict=True)])
        lines += [(name, row, names[row]) for row in rows]
    _write_csv(folder / "leave_out.csv", [("database", "row", "name"), *lines])
    return folder


def _write_csv(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
