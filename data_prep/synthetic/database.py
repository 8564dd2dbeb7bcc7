"""Generator of the synthetic database: synthetic scenes, real codecs and distortions, simulated raters.

It writes an ordinary csv database; the rest of the pipeline does not depend on its origin. Decision 0003.
"""

import csv
import dataclasses
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data_prep.synthetic import distortion_plan, distortions, raters, scenes
from nr_vqm.common import atomic_files, parallel

VERSION = 4  # must increase whenever the same settings give different videos
FPS = 24
MKV_SHARE = 0.06  # fraction in the second container, so that both are tested
SMALL_FILE = 300_000  # pixels of a video; larger .mkv files are not lossless (FFV1), to save disk space
NORMAL_DETAIL = 3.5  # mean luma difference of neighbouring pixels of a camera: decision 0003
SETTINGS_FILE = "settings.json"


@dataclasses.dataclass(frozen=True)
class Rated:
    """The label of one synthetic video, with its components.

    Attributes:
        video_id: unique within the database.
        file_name: in the folder videos.
        mos: mean of the votes, 1-5.
        rater_std: standard deviation of the votes.
        pooled: quality of the whole video before the raters' variation, 1-5.
        mean_quality: mean quality of the frames, 1-5.
        distortions: description of all distortions.
    """

    video_id: str
    file_name: str
    mos: float
    rater_std: float
    pooled: float
    mean_quality: float
    distortions: str


def make_database(
    out_dir: str | os.PathLike[str],
    *,
    num_videos: int,
    num_frames: int,
    size: tuple[int, int],
    seed: int,
    workers: int,
    scheduler: str | None = None,
    progress: Callable[[str, int, int], None] = lambda step, done, total: None,
) -> None:
    """Generate a database of synthetic videos with their MOS.

    Writes videos/*, distortions.csv, then labels.csv: path, mos, content, video_id; MOS on 1-5. Every
    video is a separate content. Video number i depends on (seed, i, num_frames, size) only. An interrupted run resumes.

    Args:
        out_dir: the folder, created if missing.
        num_videos: number of videos. A larger number later keeps the existing videos.
        num_frames: frames per video, at 24 frames per second.
        size: (height, width), both even.
        seed: seed of all videos.
        workers: number of processes, see `parallel.map_in_order`.
        scheduler: address of a Dask scheduler, see `parallel.map_in_order`.
        progress: called with the name of the step, and how many of its videos are done and to do.

    Raises:
        ValueError: the folder has other files or a database of other settings, or the size is odd.
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
    rated = []
    progress("synthetic videos", 0, num_videos)
    for video in parallel.map_in_order(_work, work, workers=workers, scheduler=scheduler):
        rated.append(video)
        progress("synthetic videos", len(rated), num_videos)
    _write_tables(out_dir, rated)


def _refuse_others(out_dir: Path) -> None:
    """Raise ValueError if the folder has files of another origin, which must not be overwritten."""
    if not out_dir.exists() or (out_dir / SETTINGS_FILE).exists():
        return
    interrupted = {out_dir / "videos"}  # the only path that exists before the settings
    others = [path for path in out_dir.rglob("*") if path not in interrupted and not path.name.startswith(".")]
    if others:
        raise ValueError(
            f"The synthetic videos need a separate folder, {out_dir} has {others[0].name!r}. For your own videos use "
            "make prep DATABASE=csv, or python -m data_prep csv."
        )


def _check(out_dir: Path, settings: Mapping[str, Any]) -> None:
    """Record the settings of a folder; raise ValueError if they are invalid or differ from the recorded ones."""
    height, width = settings["size"]
    if height % 2 or width % 2 or min(height, width) < 16:
        raise ValueError(f"Videos need an even height and width of at least 16. Received: size={height}x{width}.")
    path = out_dir / SETTINGS_FILE
    if not path.exists():
        atomic_files.write_json(path, settings)
    found = atomic_files.read_json(path, made_by="make prep")
    if found != settings:
        raise ValueError(
            f"{out_dir} has synthetic videos of other settings ({_line(found)}); requested: {_line(settings)}. "
            "Delete the folder, or choose another one."
        )


def _is_complete(out_dir: Path, num_videos: int) -> bool:
    """Return whether all labels and videos exist, so that the votes need not be computed again."""
    if not (out_dir / "labels.csv").exists():
        return False
    with open(out_dir / "labels.csv", newline="", encoding="utf-8") as file:
        paths = [out_dir / row["path"] for row in csv.DictReader(file)]
    return len(paths) == num_videos and all(path.exists() for path in paths)


def _line(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def _work(item: dict[str, Any]) -> Rated:
    """Generate one video with one OpenCV thread, because other processes use the other cores."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return make_video(**item)
    finally:
        cv2.setNumThreads(threads)


def make_video(
    out_dir: str | os.PathLike[str], *, index: int, num_frames: int, size: tuple[int, int], seed: int, version: int
) -> Rated:
    """Generate one video, unless its file exists, and its label.

    The label depends on the pixels of one undistorted frame only, so it is fast to compute again.

    Args:
        out_dir: the folder of the database.
        index: number of the video, from 0.
        num_frames: length in frames.
        size: (height, width) in pixels.
        seed: seed of the database.
        version: the constant VERSION.
    """
    plan_rng, scene_rng, noise_rng, file_rng, rater_rng = (
        np.random.default_rng([version, seed, index, stream]) for stream in range(5)
    )
    plan = distortion_plan.make_plan(plan_rng, num_frames=num_frames, fps=FPS)
    lively = bool({"freeze", "drop"} & set(plan.strengths))  # they are not visible in a static scene
    scene = scenes.make_scene(scene_rng, num_frames=num_frames, size=size, lively=lively)
    encoding = choose_encoding(file_rng, num_pixels=num_frames * size[0] * size[1])
    path = Path(out_dir) / "videos" / f"{seed}-{index:05d}{encoding['suffix']}"
    if not path.exists():
        clean = np.stack([scenes.render(scene, frame) for frame in range(num_frames)])
        write_video(path, distortions.apply(noise_rng, plan, clean), encoding)
    middle = scenes.render(scene, num_frames // 2)
    quality = distortion_plan.frame_quality(plan, visibility=visibility(middle, speed=scene.speed))
    return _rate(rater_rng, plan, quality, path)


def _rate(rng: np.random.Generator, plan: distortion_plan.Plan, quality: np.ndarray, path: Path) -> Rated:
    pooled = raters.pool(quality, fps=FPS)
    votes = raters.vote(rng, pooled)
    return Rated(
        video_id=path.stem,
        file_name=path.name,
        mos=round(float(votes.mean()), 4),
        rater_std=round(float(votes.std(ddof=1)), 3),
        pooled=round(pooled, 3),
        mean_quality=round(float(quality.mean()), 3),
        distortions=describe(plan),
    )


def visibility(frame: np.ndarray, *, speed: float) -> dict[str, float]:
    """Estimate the visibility of each distortion in a content: factors near 1, equal for all strengths.

    Texture masks noise and makes blur and blocks more visible; flat areas do the opposite (contrast masking, Legge &
    Foley 1980). Freezes are visible where something moves. The amounts are ours, decision 0003.

    Args:
        frame: uint8 RGB (height, width, 3), one undistorted frame.
        speed: mean motion in pixels per frame.

    Returns:
        {distortion: factor}.
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


def choose_encoding(rng: np.random.Generator, *, num_pixels: int) -> dict[str, Any]:
    """Draw the encoding of the file itself, which is not visible: H.264 at CRF 8-14, or FFV1.

    It does not depend on the quality of the video.

    Args:
        rng: generator of the choice.
        num_pixels: pixels of all frames.

    Returns:
        'suffix' and the arguments of `distortions.encode`.
    """
    suffix, container = (".mkv", "matroska") if rng.random() < MKV_SHARE else (".mp4", "mp4")
    if suffix == ".mkv" and num_pixels <= SMALL_FILE:
        return {"suffix": suffix, "container": container, "codec": "ffv1", "options": {}, "pixel_format": "bgr0"}
    preset = str(rng.choice(["ultrafast", "superfast", "veryfast"], p=[0.3, 0.5, 0.2]))
    options = {"crf": str(rng.integers(8, 15)), "preset": preset}
    return {"suffix": suffix, "container": container, "codec": "libx264", "options": options, "pixel_format": "yuv420p"}


def write_video(path: Path, frames: np.ndarray, encoding: Mapping[str, Any], *, fps: int = FPS) -> None:
    """Write a video file atomically.

    Args:
        path: the file.
        frames: uint8 RGB (num_frames, height, width, 3).
        encoding: the result of `choose_encoding`.
        fps: frames per second.
    """
    settings = {name: value for name, value in encoding.items() if name != "suffix"}
    data = distortions.encode(frames, fps=fps, **settings)
    with atomic_files.replace_when_complete(path) as temporary:
        temporary.write_bytes(data)


def describe(plan: distortion_plan.Plan) -> str:
    """Describe the distortions of a plan: 'noise 4.1..12.0 shape=ramp soft=0.5; codec 33..33 ...', or 'none'."""
    parts = []
    for name in distortion_plan.ORDER:
        if name in plan.strengths:
            values, details = plan.strengths[name], plan.details.get(name, {})
            words = " ".join(f"{key}={_short(value)}" for key, value in details.items())
            parts.append(f"{name} {values.min():.3g}..{values.max():.3g} {words}".strip())
    return "; ".join(parts) or "none"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    return str(np.round(value, 2).tolist() if isinstance(value, np.ndarray) else value).replace(" ", "")


def _write_tables(out_dir: Path, rated: Sequence[Rated]) -> None:
    """Write distortions.csv, then labels.csv, whose existence marks the database as complete."""
    columns = ["video_id", "distortions", "mean_quality", "pooled", "mos", "rater_std"]
    rows = [[getattr(one, column) for column in columns] for one in rated]
    atomic_files.write_text(out_dir / "distortions.csv", _csv([columns, *rows]))
    labels = [[f"videos/{one.file_name}", f"{one.mos:.4f}", one.video_id, one.video_id] for one in rated]
    atomic_files.write_text(out_dir / "labels.csv", _csv([["path", "mos", "content", "video_id"], *labels]))


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
