"""Look through a video: its scenes, whether they are usable, and hashes by which copies are recognised."""

import dataclasses
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from nr_vqm.video import decoder_client, interlacing, reader

SCAN_VERSION = 2  # must increase whenever a scan finds something else, so that stored scans are repeated
USABLE = ""  # status of a usable video; all others say why it is skipped
THUMBNAIL = 64  # pixels a side of the frames that are compared
SAMPLES_PER_SECOND = 2  # frames that are hashed and measured
# Decision 0018: what is no natural video. Levels are of 8-bit luma.
CUT_LEVELS = 12.0  # mean change from one frame to the next at a cut, and ...
CUT_RATIO = 2.5  # ... as a multiple of the second largest of the changes around it: frames may be shown twice
CUT_NEIGHBOURS = 5  # on each side
BLACK_LEVEL = 20.0  # mean
MOVED_LEVELS = 3.0  # largest change of a thumbnail between frames that show motion
STILL_SHARE = 0.2  # of frame pairs that show motion, below which a scene is a still or slides
FLAT_SHARE = 0.55  # of pixels equal to their neighbours, above which ...
FEW_LEVELS_SHARE = 0.5  # ... and of pixels with one of the FEW_LEVELS most frequent values, a scene is drawn
FEW_LEVELS = 6
HASH_SIDE = 8
MIN_CONTRAST = 4.0  # standard deviation of a thumbnail without which its hash means nothing


@dataclasses.dataclass(frozen=True)
class Scene:
    """One scene of a video, between two cuts.

    Attributes:
        start, length: in frames.
        moving: share of the frame pairs that show motion.
        brightness: mean luma, 0-255.
        flat: share of pixels that equal their neighbours.
        few_levels: share of pixels with one of the FEW_LEVELS most frequent values of luma.
        hashes: of two frames a second, 64 bits each; frames without contrast have none.
    """

    start: int
    length: int
    moving: float
    brightness: float
    flat: float
    few_levels: float
    hashes: tuple[int, ...]

    def status(self, num_frames: int) -> tuple[str, str]:
        """Return (USABLE, '') or why a segment of `num_frames` cannot be taken, as (status, reason)."""
        if self.length < num_frames:
            return "too_short", f"a segment needs {num_frames} frames, the longest scene has {self.length}"
        if self.brightness < BLACK_LEVEL:
            return "black", f"mean luma {self.brightness:.1f} of 255"
        if self.moving < STILL_SHARE:
            return "still", f"{100 * self.moving:.0f} % of the frames differ from the one before: a still or slides"
        if self.flat > FLAT_SHARE and self.few_levels > FEW_LEVELS_SHARE:
            return (
                "screen",
                f"{100 * self.flat:.0f} % flat and few colours: a screen recording, slides, a drawing or wide bars",
            )
        return USABLE, ""


@dataclasses.dataclass(frozen=True)
class Scan:
    """What looking through a video has found.

    Attributes:
        status: USABLE, or why the video is skipped.
        reason: details of the status.
        frames: number of frames looked at.
        width, height, fps: of the video; fps 0 if not declared.
        scenes: all scenes, in order.
    """

    status: str
    reason: str
    frames: int = 0
    width: int = 0
    height: int = 0
    fps: float = 0.0
    scenes: tuple[Scene, ...] = ()

    def usable_scenes(self, num_frames: int) -> list[Scene]:
        """List the scenes from which a segment can be taken."""
        return [one for one in self.scenes if one.status(num_frames)[0] == USABLE]


def scan(path: Path, *, num_frames: int, min_side: int, max_seconds: float) -> Scan:
    """Look through the first part of a video.

    Args:
        path: the video file.
        num_frames: length of a segment.
        min_side: smallest width and height, in pixels.
        max_seconds: length of the part.

    Returns:
        The scan; a video that cannot be used has a status and a reason.
    """
    try:
        with reader.read_frames(path) as frames:
            info = frames.info
            status, reason = _declared_problem(info, min_side)
            if status:
                return Scan(status, reason, width=info.width, height=info.height, fps=info.fps)
            limit = max(num_frames, math.ceil(max_seconds * (info.fps or 25)))
            notes = list(_notes(frames, limit, step=max(1, round((info.fps or 25) / SAMPLES_PER_SECOND))))
            whole = len(notes) < limit
            status, reason = _decoded_problem(info, len(notes), frames.warnings, whole=whole)
    except (ValueError, OSError) as error:
        return Scan("unreadable", str(error))
    scenes = tuple(_scenes(notes))
    if not status and not any(one.status(num_frames)[0] == USABLE for one in scenes):
        longest = max(scenes, key=lambda one: one.length)
        status, reason = longest.status(num_frames)
    return Scan(status, reason, len(notes), info.width, info.height, info.fps, scenes)


def _declared_problem(info: decoder_client.VideoInfo, min_side: int) -> tuple[str, str]:
    if info.hdr:
        return "hdr", f"HDR video ({info.hdr}) would be read as if it were not"
    if min(info.width, info.height) < min_side:
        return "too_small", f"{min_side} pixels a side are needed, the video has {info.width} x {info.height}"
    return USABLE, ""


def _decoded_problem(
    info: decoder_client.VideoInfo, count: int, warnings: list[str], *, whole: bool
) -> tuple[str, str]:
    if interlacing.INTERLACED in warnings:
        return "interlaced", "moving edges show combing"
    if whole and decoder_client.missing_frames(count, info.frames):
        return "damaged", f"{info.frames} frames are declared, {count} can be decoded"
    return USABLE, ""


@dataclasses.dataclass(frozen=True)
class _Note:
    """What is kept of a frame: its change from the previous one, mean and largest; the rest of sampled frames only."""

    change: float
    largest: float
    brightness: float
    sample: tuple[float, float, int | None] | None


def _notes(frames: Iterable[np.ndarray], limit: int, *, step: int) -> Iterator[_Note]:
    previous = None
    for number, frame in enumerate(frames):
        if number == limit:
            return
        thumbnail = cv2.cvtColor(
            cv2.resize(frame, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY
        )
        change = cv2.absdiff(thumbnail, thumbnail if previous is None else previous)
        sample = (*_drawn(frame), perceptual_hash(thumbnail)) if number % step == step // 2 else None
        yield _Note(float(change.mean()), float(change.max()), float(thumbnail.mean()), sample)
        previous = thumbnail


def _drawn(frame: np.ndarray) -> tuple[float, float]:
    """Return the shares of flat pixels and of pixels with one of the few most frequent levels."""
    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    flat = (luma[:-1, :-1] == luma[1:, :-1]) & (luma[:-1, :-1] == luma[:-1, 1:])
    counts = np.sort(cv2.calcHist([luma], [0], None, [256], [0, 256])[:, 0])
    return float(flat.mean()), float(counts[-FEW_LEVELS:].sum() / luma.size)


def perceptual_hash(thumbnail: np.ndarray) -> int | None:
    """Hash a frame so that copies of other size, codec and quality differ in few of the 64 bits.

    Args:
        thumbnail: uint8 luma (THUMBNAIL, THUMBNAIL).

    Returns:
        The signs of the lowest frequencies of its cosine transform against their median; None without contrast.
    """
    if thumbnail.std() < MIN_CONTRAST:
        return None
    small = cv2.resize(thumbnail, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    lowest = cv2.dct(small)[:HASH_SIDE, :HASH_SIDE].ravel()[1:]
    bits = np.append(lowest > np.median(lowest), False)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _scenes(notes: list[_Note]) -> Iterator[Scene]:
    """Divide a video at its cuts."""
    start = 0
    for number, note in enumerate(notes[1:], start=1):
        around = notes[max(1, number - CUT_NEIGHBOURS) : number] + notes[number + 1 : number + 1 + CUT_NEIGHBOURS]
        usual = sorted(one.change for one in around)[-2] if len(around) > 1 else 0.0
        if note.change > max(CUT_LEVELS, CUT_RATIO * usual):
            yield _scene(notes, start, number)
            start = number
    if notes:
        yield _scene(notes, start, len(notes))


def _scene(notes: list[_Note], start: int, end: int) -> Scene:
    inside = notes[start:end]
    samples = [note.sample for note in inside if note.sample]
    pairs = inside[1:]
    moving = sum(note.largest > MOVED_LEVELS for note in pairs) / max(1, len(pairs))
    flat, few_levels = np.mean([sample[:2] for sample in samples], axis=0) if samples else (0.0, 0.0)
    brightness = float(np.mean([note.brightness for note in inside]))
    hashes = tuple(sample[2] for sample in samples if sample[2] is not None)
    return Scene(start, end - start, moving, brightness, float(flat), float(few_levels), hashes)
