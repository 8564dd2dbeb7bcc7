"""The texts that prep prints: labels and files of a database, changes since the last preparation, and the result."""

from collections import Counter
from pathlib import Path

from data_prep import build, databases, label_files
from data_prep.state import Changes
from nr_vqm.common import safe_output
from nr_vqm.dataset import label_origin, manifest
from nr_vqm.dataset.manifest import Video
from nr_vqm.presets import Preset
from nr_vqm.video import reader

LISTED = 20  # number of similar lines that are printed; the rest is counted
FRACTIONS = (0.8, 0.9)  # shares of training videos in the paper, in addition to the preset's


def print_labels(name: str, rows: list[Video], labels: list[Path], origin: str, preset: Preset) -> None:
    """Print the numbers of videos, contents and clips according to the labels, and those of the complete database.

    Args:
        name: name of the database.
        rows: the videos of its label files.
        labels: its label files.
        origin: a key of `label_origin.ORIGINS`.
        preset: the preset, which determines the clips.
    """
    known = databases.DATABASES.get(name)
    word = known.contents_word if known else "contents"
    mos, contents = [one.mos for one in rows], len({one.content for one in rows})
    low, high = rows[0].mos_low, rows[0].mos_high
    files = safe_output.printable(", ".join(str(path) for path in labels))
    print(f"Labels: {files}; {label_origin.ORIGINS[origin]}")
    print(
        f"{len(rows):,} videos, {contents:,} {word}, MOS {min(mos):.2f} to {max(mos):.2f} on {low:g} to {high:g}"
        + (f" (the whole {name}: {known.facts()})" if known else "")
    )
    grid_rows, grid_columns = preset.train_grid
    per_video = preset.train_groups * grid_rows * grid_columns
    num_clips, frames, size = len(rows) * per_video, preset.clip_frames, preset.clip_size
    print(
        f"{preset.train_groups} x {grid_rows * grid_columns} clips a video (groups x blocks, "
        f"{grid_rows} x {grid_columns}), each {frames} frames of {size} x {size}: {num_clips:,} clips, "
        f"about {build.stored_size(num_clips, clip_frames=frames, clip_size=size) / 1e9:,.2f} GB on disk"
    )
    for fraction in sorted({preset.train_fraction, *FRACTIONS}):
        videos = round(fraction * len(rows))
        # The videos of one content stay together, so their number in a split depends on the random draw.
        exactly = "exactly" if contents == len(rows) else "about"
        print(
            f"  for a {100 * fraction:g} % split {exactly} {videos * per_video:,} training clips, of {videos:,} videos"
        )


def print_files(rows: list[Video], labels: list[Path], root: Path) -> None:
    """Print the videos on disk that have no label, and the files that are skipped because they are no videos."""
    extra = label_files.extra_files(root, rows)
    print_some([f"extra file, not in the labels: {path}" for path in extra])
    known = {path.absolute() for path in labels}
    skipped = [path for path in reader.list_skipped(root) if path not in known]
    if skipped:
        more = f" and {len(skipped) - LISTED} more" if len(skipped) > LISTED else ""
        names = safe_output.printable(", ".join(path.name for path in skipped[:LISTED]))
        counted = "1 file is not a video" if len(skipped) == 1 else f"{len(skipped):,} files are not videos"
        print(f"{counted}: {names}{more}")
    missing = sum(one.status == label_files.MISSING for one in rows)
    print(f"On disk: {len(rows) - missing:,} of {len(rows):,} videos, {missing:,} missing, {len(extra):,} extra files")


def print_changes(changes: Changes) -> None:
    """Print the numbers of videos that are kept from an earlier preparation, are to be prepared, or have changed."""
    kept = sum(one.status == manifest.OK for one in changes.videos)
    print(
        f"Prepared before and kept: {kept:,} videos. To prepare: {len(changes.todo):,} videos, of which "
        f"{changes.retried:,} failed before and {changes.replaced:,} have a changed file."
    )
    if changes.relabelled:
        print(f"{changes.relabelled:,} videos have a new label, which is used from now on; their clips are kept.")
    if changes.removed:
        print(f"{changes.removed:,} videos are no longer in the labels; their clips are kept and not used.")
    if changes.gone:
        print(f"The files of {changes.gone:,} prepared videos no longer exist; make features needs them.")


def print_result(videos: list[Video]) -> int:
    """Print the usable videos with a warning and the skipped videos; return the number of skipped videos."""
    videos = [one for one in videos if one.status != manifest.REMOVED]
    with_warnings = [one for one in videos if one.status == manifest.OK and one.reason]
    print_some([f"ready, with a warning: {one.video_id}: {one.reason}" for one in with_warnings])
    skipped = sorted((one for one in videos if one.status != manifest.OK), key=lambda one: one.status == "missing")
    print_some([f"skipped ({one.status}): {one.video_id}: {one.reason}" for one in skipped])
    kinds = ", ".join(f"{number:,} {status}" for status, number in Counter(one.status for one in skipped).items())
    print(
        f"{len(videos) - len(skipped):,} of {len(videos):,} videos are ready, {len(skipped):,} skipped"
        f"{f' ({kinds})' if kinds else ''}."
    )
    if 0 < len(skipped) < len(videos):
        print(
            "Repair the videos, or remove their rows from the labels, and run this command again; or continue without "
            "them: make train, with the same DATA and RUN."
        )
    return len(skipped)


def print_some(lines: list[str]) -> None:
    """Print the first LISTED lines and the number of further lines."""
    for line in lines[:LISTED]:
        print(safe_output.printable(line))
    if len(lines) > LISTED:
        print(f"... and {len(lines) - LISTED:,} more like these")
