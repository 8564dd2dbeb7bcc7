"""Versions of a segment: undistorted views of it, native and reduced, and distorted ones as users' uploads are."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data_prep.contents.selection import Segment
from data_prep.synthetic import database, distortion_plan, distortions, raters
from nr_vqm.common import atomic_files
from nr_vqm.video import reader

REDUCED = (0.4, 0.8)  # size of the reduced view as a share of the native one, uniform
REDUCED_SIDE = 240  # pixels that the shorter side of a reduced view has at least
LATER_STRENGTH = 0.8  # of a later encoding's impairment, compared with other distortions
JUDGED_BY_VMAF = frozenset(["focus", "noise", "scale", "codec"])  # it compares frame with frame, and was made for these
# Decision 0018: most of what happens to users' video is coding; shares are ours.
SINGLES: Mapping[tuple[str, ...], float] = {
    ("codec",): 0.36,
    ("noise",): 0.15,
    ("focus",): 0.21,
    ("scale",): 0.15,
    ("shake",): 0.04,
    ("under",): 0.03,
    ("over",): 0.02,
    ("freeze",): 0.02,
    ("drop",): 0.02,
}
CHANGING, SINGLE = 0.2, 0.65
STREAMS = ("views", "plans", "noise", "files")  # of random numbers of a segment


@dataclasses.dataclass(frozen=True)
class View:
    """How the frames of a video are reduced and cropped.

    Attributes:
        name: 'native' or 'reduced'.
        size: (rows, columns) to which frames are reduced.
        top, left, rows, columns: the crop of the reduced frame, rows and columns even.
    """

    name: str
    size: tuple[int, int]
    top: int
    left: int
    rows: int
    columns: int

    def of(self, frame: np.ndarray) -> np.ndarray:
        """Return the view of a frame, uint8 RGB."""
        if frame.shape[:2] != self.size:
            frame = cv2.resize(frame, self.size[::-1], interpolation=cv2.INTER_AREA)
        return frame[self.top : self.top + self.rows, self.left : self.left + self.columns]


def draw_views(rng: np.random.Generator, *, height: int, width: int, size: tuple[int, int]) -> list[View]:
    """Draw the views of a video: the native one, and a reduced one where the video is large enough.

    Args:
        rng: generator of sizes and places.
        height, width: of the video.
        size: largest (rows, columns) of a landscape view; a portrait view has them exchanged.
    """
    views = [_view(rng, "native", (height, width), size)]
    side = min(height, width)
    share = max(REDUCED_SIDE / side, rng.uniform(*REDUCED))
    if share <= REDUCED[1]:
        views.append(_view(rng, "reduced", (round(share * height), round(share * width)), size))
    return views


def _view(rng: np.random.Generator, name: str, found: tuple[int, int], size: tuple[int, int]) -> View:
    limits = size if found[1] >= found[0] else size[::-1]
    rows, columns = (min(have, limit) // 2 * 2 for have, limit in zip(found, limits, strict=True))
    top, left = (int(rng.integers(have - take + 1)) for have, take in zip(found, (rows, columns), strict=True))
    return View(name, found, top, left, rows, columns)


def make_segment(segment: Segment, *, root: Path, out_dir: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write all versions of one segment, and made/NAME.json last; a finished segment is left as it is.

    Args:
        segment: which frames of which video.
        root: folder of the videos.
        out_dir: folder of the database.
        settings: as in `database.make_database`.

    Returns:
        The record: {'name', 'content', 'versions': [{'name', 'file', 'view', 'distortions', 'impairment', 'vmaf'}]};
        'vmaf' tells whether VMAF judges the version.

    Raises:
        ValueError: the video cannot be read as it was when it was looked through.
        OSError: a file cannot be written.
    """
    path = out_dir / "made" / f"{segment.name}.json"
    if path.exists():
        return atomic_files.read_json(path, made_by="make prep")
    seed = [settings["version"], settings["seed"], int(segment.source.fingerprint[:12], 16), segment.start]
    random = {name: np.random.default_rng([*seed, stream]) for stream, name in enumerate(STREAMS)}
    scan = segment.source.scan
    views = draw_views(random["views"], height=scan.height, width=scan.width, size=tuple(settings["size"]))
    frames = _read(root / segment.source.path, segment.start, settings["num_frames"], views)
    fps = round(scan.fps) or 25
    versions = [_write(segment, view, "", frames[view.name], [], fps, out_dir, random) for view in views]
    for number in range(1, settings["num_versions"] - len(views) + 1):
        view = views[random["plans"].integers(len(views))]
        plans = draw_plans(random["plans"], num_frames=settings["num_frames"], fps=fps, settings=settings)
        versions.append(_write(segment, view, f"-{number}", frames[view.name], plans, fps, out_dir, random))
    record = {"name": segment.name, "content": segment.content, "source": segment.source.path, "versions": versions}
    atomic_files.write_json(path, record)
    return record


def _read(path: Path, start: int, count: int, views: list[View]) -> dict[str, np.ndarray]:
    """Decode a segment: {view: uint8 RGB (count, rows, columns, 3)}."""
    found: dict[str, list[np.ndarray]] = {view.name: [] for view in views}
    with reader.read_frames(path) as frames:
        for number, frame in enumerate(frames):
            if number >= start + count:
                break
            for view in views if number >= start else ():
                found[view.name].append(view.of(frame).copy())
    if len(found["native"]) < count:
        raise ValueError(f"{path} has changed since it was looked through: frame {start + count} is missing.")
    return {name: np.stack(one) for name, one in found.items()}


def draw_plans(
    rng: np.random.Generator, *, num_frames: int, fps: int, settings: Mapping[str, Any]
) -> list[distortion_plan.Plan]:
    """Draw the distortions of one version: a plan, and often a later encoding, as by an upload."""
    spread = tuple(settings["impairment"])
    mix = distortion_plan.Mix(0, 0, SINGLE, CHANGING, spread, SINGLES, distortion_plan.MIXES)
    plans = [distortion_plan.make_plan(rng, num_frames=num_frames, fps=fps, mix=mix)]
    if rng.random() < settings["reencoded"]:
        crf = np.round(distortion_plan.strength_for("codec", LATER_STRENGTH * rng.beta(*spread)))
        details = {"codec": {"shape": "steady", **distortion_plan.codec_details(rng)}}
        plans.append(distortion_plan.Plan(num_frames, fps, {"codec": np.full(num_frames, float(crf))}, details))
    for plan in plans:
        plan.camera_noise = False
    return plans


def _write(
    segment: Segment,
    view: View,
    suffix: str,
    frames: np.ndarray,
    plans: list[distortion_plan.Plan],
    fps: int,
    out_dir: Path,
    random: Mapping[str, np.random.Generator],
) -> dict[str, Any]:
    """Write one version, and return what is known of it."""
    name = f"{segment.name}-{view.name}{suffix}"
    encoding = database.choose_encoding(random["files"], num_pixels=frames[..., 0].size)
    quality = _pooled_quality(frames, plans, fps)
    for plan in plans:
        frames = distortions.apply(random["noise"], plan, frames.copy())
    path = out_dir / "videos" / f"{name}{encoding['suffix']}"
    database.write_video(path, frames, encoding, fps=fps)
    names = {distortion for plan in plans for distortion in plan.strengths}
    return {
        "name": name,
        "file": f"videos/{path.name}",
        "view": view.name,
        "distortions": "; ".join(database.describe(plan) for plan in plans) or "none",
        "impairment": (5 - quality) / 4,
        "vmaf": bool(names) and names <= JUDGED_BY_VMAF,
    }


def _pooled_quality(frames: np.ndarray, plans: list[distortion_plan.Plan], fps: int) -> float:
    """Return the quality of a version by the tables of distortions, as if its source were perfect: 1-5."""
    if not plans:
        return 5.0
    middle = len(frames) // 2
    visibility = database.visibility(frames[middle], speed=speed(frames[middle - 1], frames[middle]))
    return raters.pool(distortion_plan.frame_quality(*plans, visibility=visibility), fps=fps)


def speed(first: np.ndarray, second: np.ndarray) -> float:
    """Estimate the mean motion between two frames, uint8 RGB, in pixels."""
    scale = max(1.0, min(first.shape[:2]) / 135)
    first, second = (_small_luma(frame, scale) for frame in (first, second))
    flow = np.zeros((*first.shape, 2), np.float32)
    flow = np.asarray(cv2.calcOpticalFlowFarneback(first, second, flow, 0.5, 3, 15, 2, 5, 1.2, 0))
    return float(scale * np.linalg.norm(flow, axis=2).mean())


def _small_luma(frame: np.ndarray, scale: float) -> np.ndarray:
    small = cv2.resize(frame, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
