"""The embedded default database: made-up scenes, real codecs and distortions, simulated raters. Decision 0003.

It is an ordinary csv database on disk: nothing behind it knows that it is made up.
"""

import csv
import dataclasses
import io
from pathlib import Path

import cv2
import numpy as np

from data_prep import damage, damage_plan, raters, scenes
from nr_vqm.common import atomic_files, parallel

VERSION = 4  # to be raised whenever the same settings would give other videos
FPS = 24
MKV_SHARE = 0.06  # the other container, so that both are read all the time
SMALL_FILE = 300_000  # pixels in a video: up to here the .mkv are FFV1, lossless; above, too large on disk
NORMAL_DETAIL = 3.5  # mean luma step between neighbours in camera pictures: decision 0003
SETTINGS_FILE = "settings.json"


@dataclasses.dataclass(frozen=True)
class Rated:
    """What is known about one made-up video."""

    video_id: str
    file_name: str
    mos: float
    rater_std: float
    pooled: float  # quality over the whole video as pooled, before the raters
    mean_quality: float  # the plain mean over the frames
    damage: str  # every damage with its parameters, for people to read


def make_database(out_dir, *, num_videos, num_frames, size, seed, workers, scheduler=None):
    """Write a database of made-up videos with their MOS.

    Writes videos/*, damage.csv (for people), then labels.csv: path, mos, content, video_id; MOS on 1-5. Every video has
    its own content. Video number i depends on (seed, i, num_frames, size) only. A stopped run goes on where it was.

    Args:
        out_dir: the folder; made if missing.
        num_videos: how many. A larger number later keeps the videos there are.
        num_frames: frames per video, at 24 frames per second.
        size: (height, width), both even.
        seed: a whole number.
        workers, scheduler: as in `parallel.each`.

    Raises:
        ValueError: the folder holds something else or a database of other settings, or the size is odd.
    """
    out_dir = Path(out_dir)
    _refuse_others(out_dir)
    (out_dir / "videos").mkdir(parents=True, exist_ok=True)
    for folder in (out_dir, out_dir / "videos"):
        atomic_files.drop_leftovers(folder)
    settings = {"version": VERSION, "num_frames": num_frames, "size": list(size), "seed": seed}
    _check(out_dir, settings)
    if _is_complete(out_dir, num_videos):
        return
    work = [{"out_dir": out_dir, "index": index, **settings} for index in range(num_videos)]
    rated = list(parallel.each(_work, work, workers=workers, scheduler=scheduler))
    _write_tables(out_dir, rated)


def _refuse_others(out_dir):
    """Somebody's own videos and labels are not to be written over."""
    if not out_dir.exists() or (out_dir / SETTINGS_FILE).exists():
        return
    stopped = {out_dir / "videos"}  # all that is there before the settings
    others = [path for path in out_dir.rglob("*") if path not in stopped and not path.name.startswith(".")]
    if others:
        raise ValueError(
            f"The made-up videos need a folder of their own, {out_dir} holds {others[0].name!r}. For videos of your "
            "own name their database: make prep DATABASE=csv, or python -m data_prep csv."
        )


def _check(out_dir, settings):
    """Keep one folder to one kind of settings."""
    height, width = settings["size"]
    if height % 2 or width % 2 or min(height, width) < 16:
        raise ValueError(f"Videos need an even height and width of at least 16. Received: size={height}x{width}.")
    path = out_dir / SETTINGS_FILE
    if not path.exists():
        atomic_files.write_json(path, settings)
    found = atomic_files.read_json(path, made_by="make prep")
    if found != settings:
        raise ValueError(
            f"{out_dir} holds made-up videos of other settings ({_line(found)}); wanted: {_line(settings)}. "
            "Delete the folder, or choose another one."
        )


def _is_complete(out_dir, num_videos):
    """Whether the labels are of so many videos, and these are there: what people say is not worked out again."""
    if not (out_dir / "labels.csv").exists():
        return False
    with open(out_dir / "labels.csv", newline="", encoding="utf-8") as file:
        paths = [out_dir / row["path"] for row in csv.DictReader(file)]
    return len(paths) == num_videos and all(path.exists() for path in paths)


def _line(settings):
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def _work(item):
    """One video in one process; OpenCV's own threads would fight with the other processes."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return make_video(**item)
    finally:
        cv2.setNumThreads(threads)


def make_video(out_dir, *, index, num_frames, size, seed, version):
    """Make one video, unless its file is there already.

    Returns:
        a Rated. What people say needs no pixels but those of one clean frame, so it is cheap to repeat.
    """
    plan_rng, scene_rng, noise_rng, file_rng, rater_rng = (
        np.random.default_rng([version, seed, index, stream]) for stream in range(5)
    )
    plan = damage_plan.make_plan(plan_rng, num_frames=num_frames, fps=FPS)
    lively = bool({"freeze", "drop"} & set(plan.strengths))  # a still scene would hide them
    scene = scenes.make_scene(scene_rng, num_frames=num_frames, size=size, lively=lively)
    encoding = choose_encoding(file_rng, num_pixels=num_frames * size[0] * size[1])
    path = Path(out_dir) / "videos" / f"{seed}-{index:05d}{encoding['suffix']}"
    if not path.exists():
        clean = np.stack([scenes.render(scene, frame) for frame in range(num_frames)])
        write_video(path, damage.apply(noise_rng, plan, clean), encoding)
    middle = scenes.render(scene, num_frames // 2)
    quality = damage_plan.frame_quality(plan, visibility=visibility(middle, speed=scene.speed))
    return _rate(rater_rng, plan, quality, path)


def _rate(rng, plan, quality, path):
    pooled = raters.pool(quality, fps=FPS)
    votes = raters.vote(rng, pooled)
    return Rated(
        video_id=path.stem,
        file_name=path.name,
        mos=round(float(votes.mean()), 4),
        rater_std=round(float(votes.std(ddof=1)), 3),
        pooled=round(pooled, 3),
        mean_quality=round(float(quality.mean()), 3),
        damage=describe(plan),
    )


def visibility(frame, *, speed):
    """How much more or less each damage shows in this content: factors near 1, the same for all strengths.

    Texture hides noise and shows blur and blocks; a flat wall the other way round (contrast masking, Legge & Foley
    1980); stops show where something moves. The sizes are ours, decision 0003.

    Args:
        frame: uint8 RGB, one undamaged frame.
        speed: pixels per frame.
    """
    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    steps = np.abs(np.diff(luma, axis=1)).mean()
    detail = float(np.clip(np.log2((steps + 0.1) / NORMAL_DETAIL), -1.5, 1.5))
    blurred, noisy = 1 + 0.1 * detail, 1 - 0.08 * detail
    codec = blurred + 0.05 * float(np.clip(np.log2(speed + 0.3), -1, 1))
    stop = float(np.clip(speed, 0.4, 1))
    return {
        **dict.fromkeys(("focus", "scale", "shake"), blurred),
        **dict.fromkeys(("freeze", "drop"), stop),
        "noise": noisy,
        "codec": codec,
    }


def choose_encoding(rng, *, num_pixels):
    """The file's own coding, which nobody can see: H.264 at CRF 8-14, or FFV1; the quality has no part in it."""
    suffix, container = (".mkv", "matroska") if rng.random() < MKV_SHARE else (".mp4", "mp4")
    if suffix == ".mkv" and num_pixels <= SMALL_FILE:
        return {"suffix": suffix, "container": container, "codec": "ffv1", "options": {}, "pixel_format": "bgr0"}
    preset = str(rng.choice(["ultrafast", "superfast", "veryfast"], p=[0.3, 0.5, 0.2]))
    options = {"crf": str(rng.integers(8, 15)), "preset": preset}
    return {"suffix": suffix, "container": container, "codec": "libx264", "options": options, "pixel_format": "yuv420p"}


def write_video(path, frames, encoding):
    """Write a video file whole, or not at all."""
    settings = {name: value for name, value in encoding.items() if name != "suffix"}
    data = damage.encode(frames, fps=FPS, **settings)
    with atomic_files.replacing(path) as beside:
        beside.write_bytes(data)


def describe(plan):
    """One readable line: 'noise 4.1..12.0 shape=ramp soft=0.5; codec 33..33 ...', or 'none'."""
    parts = []
    for name in damage_plan.ORDER:
        if name in plan.strengths:
            values, details = plan.strengths[name], plan.details.get(name, {})
            words = " ".join(f"{key}={_short(value)}" for key, value in details.items())
            parts.append(f"{name} {values.min():.3g}..{values.max():.3g} {words}".strip())
    return "; ".join(parts) or "none"


def _short(value):
    if isinstance(value, float):
        return f"{value:.2f}"
    return str(np.round(value, 2).tolist() if isinstance(value, np.ndarray) else value).replace(" ", "")


def _write_tables(out_dir, rated):
    """damage.csv for people, then labels.csv: its presence means complete."""
    columns = ["video_id", "damage", "mean_quality", "pooled", "mos", "rater_std"]
    rows = [[getattr(one, column) for column in columns] for one in rated]
    atomic_files.write_text(out_dir / "damage.csv", _csv([columns, *rows]))
    labels = [[f"videos/{one.file_name}", f"{one.mos:.4f}", one.video_id, one.video_id] for one in rated]
    atomic_files.write_text(out_dir / "labels.csv", _csv([["path", "mos", "content", "video_id"], *labels]))


def _csv(rows):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
