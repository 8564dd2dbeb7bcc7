"""Containers: opening of files that hold a video themselves, the choice of a stream, and the declared properties."""

from collections.abc import Callable, Sequence
from typing import Any

import av
from av.stream import Disposition

from nr_vqm.video import raw_video

COMPLETE = 0.01  # share of the duration by which the last frame may end earlier than the header says
SQUARE_TOLERANCE = 0.02  # of the sample aspect ratio: rounding of the frame size gives such deviations
# Demuxers of files that hold the video themselves. Playlists (hls, dash, concat, ...), image sequences and session
# descriptions (sdp, rtsp) are missing on purpose: they make FFmpeg open other files and connections.
DEMUXERS = (
    "amv asf avi av1 cavsvideo dhav dirac dnxhd dv evc flv gif gxf h261 h263 h264 hevc ivf lxf m4v matroska mjpeg "
    "mjpeg_2000 mov mp4 mpeg mpegts mpegvideo mxf nsv nut obu ogg rm vc1 vvc webm wtv yuv4mpegpipe"
).split()
HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273


class Refusal(ValueError):
    """A readable video that cannot be scored, for example because its frame size changes."""


def inspect(
    path: str, raw: raw_video.RawFormat | None, *, stream: int | None, progress: Callable[[], None]
) -> dict[str, Any]:
    """Read the properties that the container declares, without decoding.

    Args:
        path: the file.
        raw: format of a raw file, else None.
        stream: index of a video stream among those of the file, or None for the one that FFmpeg would choose.
        progress: called for every packet that is read.

    Returns:
        declared: number of frames in the header, 0 if not declared.
        expected: number of frames that decoding will probably give, 0 if unknown.
        fps: frames per second, 0 if not declared.
        hdr: 'PQ', 'HLG' or ''.
        streams, stream: number of video streams, and the index of the one that is read.
        aspect: sample aspect ratio, such as '4:3', of pixels that are not square; else ''.
        alpha: whether the video has an alpha channel.

    Raises:
        Refusal: the file has no such video stream.
    """
    found: dict[str, Any] = {"declared": 0, "expected": 0, "fps": 0.0, "hdr": "", "streams": 1, "stream": 0}
    found |= {"aspect": "", "alpha": False}
    if raw:
        frames = raw_video.count_frames(path, raw)
        return {**found, "declared": frames, "expected": frames, "fps": raw.fps}
    try:
        with open_file(path) as container:
            streams = video_streams(container)
            chosen = choose(streams, stream)
            rate = float(chosen.guessed_rate or 0)
            found.update(
                fps=rate if 0 < rate < 1000 else 0.0,
                hdr=HDR.get(chosen.codec_context.color_trc, ""),
                streams=len(streams),
                stream=streams.index(chosen),
                aspect=_aspect(chosen),
                alpha=_has_alpha(chosen),
            )
            _count_frames(found, container, chosen, progress)
    except Refusal:
        raise
    except (av.FFmpegError, IndexError, ValueError):
        pass  # decoding reports the error
    return found


def open_file(path: str) -> Any:
    """Open a file with one of DEMUXERS; Refusal if its content has another format."""
    try:
        return av.open(path, options={"format_whitelist": ",".join(DEMUXERS)})
    except av.ArgumentError as error:
        with open(path, "rb") as file:
            start = file.read(12)
        if start[:4] == b"RIFF" and start[8:] == b"WEBP":
            raise Refusal(
                f"{path} is a WebP image, whose animations the decoder cannot read. Convert it to another format, such "
                "as .webm."
            ) from error
        raise Refusal(
            f"A file that holds the video itself is needed, {path} has another format, for example that of an image, "
            "an image sequence or a playlist."
        ) from error


def _aspect(stream: Any) -> str:
    """Return the aspect ratio of pixels that are clearly not square, such as '4:3', else an empty string."""
    ratio = stream.sample_aspect_ratio
    return f"{ratio.numerator}:{ratio.denominator}" if ratio and abs(ratio - 1) > SQUARE_TOLERANCE else ""


def _has_alpha(stream: Any) -> bool:
    """Return whether a stream has an alpha channel. WebM stores it apart; in packed RGB it is usually a filler."""
    pixels = stream.codec_context.format
    return stream.metadata.get("alpha_mode") == "1" or bool(pixels and pixels.name.startswith(("yuva", "gbrap")))


def _count_packets(container: Any, stream: Any, progress: Callable[[], None]) -> tuple[int, float]:
    """Return the number of coded frames that are shown, and the time in seconds at which the last one ends."""
    packets, end = 0, 0
    for packet in container.demux(stream):
        if packet.size > 0 and not packet.is_discard:
            packets += 1
            end = max(end, (packet.pts or 0) + (packet.duration or 0))
        progress()
    return packets, float(end * stream.time_base)


def video_streams(container: Any) -> list[Any]:
    """Return the decodable video streams, without cover images of audio files."""
    return [
        one for one in container.streams.video if one.codec_context and not one.disposition & Disposition.attached_pic
    ]


def choose(streams: Sequence[Any], wanted: int | None) -> Any:
    """Return a stream by its index, else the one that FFmpeg would choose: the default, or that with the most pixels.

    Raises:
        Refusal: there is no such stream.
        ValueError: there is no video stream.
    """
    if wanted is not None and streams:
        if wanted < len(streams):
            return streams[wanted]
        sizes = ", ".join(f"{number}: {one.width}x{one.height}" for number, one in enumerate(streams))
        raise Refusal(f"Video stream {wanted} is needed, the file has {sizes}. Choose one of these or omit the option.")
    return max(
        streams, key=lambda one: 5_000_000 * bool(one.disposition & Disposition.default) + one.width * one.height
    )


def _count_frames(found: dict[str, Any], container: Any, stream: Any, progress: Callable[[], None]) -> None:
    """Set the numbers of declared and expected frames; see `inspect`.

    A header without a number of frames declares duration x rate, which is wrong for a variable frame rate. If the last
    frame ends where the header says, the file is complete and has declared the frames that it holds.
    """
    seconds = _declared_seconds(container, stream)
    hidden = stream.codec_context.name.startswith("vp")  # VP8 and VP9 have coded frames that are not shown
    declared = _presented(container, stream) if stream.frames else max(0, round(seconds * found["fps"]))
    found["declared"] = found["expected"] = declared  # should the count fail
    packets, end = _count_packets(container, stream, progress)
    if not stream.frames and not hidden and declared and end >= seconds - max(2 / found["fps"], COMPLETE * seconds):
        found["declared"] = packets
    exact = stream.frames or hidden
    found["expected"] = min(packets, found["declared"]) if found["declared"] and exact else packets


def _declared_seconds(container: Any, stream: Any) -> float:
    """Return the declared duration; 0 if the header declares only that of several streams together."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    if "DURATION" in stream.metadata:  # Matroska files of FFmpeg and other muxers
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    return (container.duration or 0) / av.time_base if len(container.streams) == 1 else 0.0


def _presented(container: Any, stream: Any) -> int:
    """Return the number of frames that the container presents, out of those that its header counts.

    An edit list hides frames: those before its start serve for decoding only, those after its end are not read. An AVI
    file may have empty index entries, during which the previous frame remains visible.
    """
    index = stream.index_entries
    if len(index) and "mov" in container.format.name:
        return sum(not entry.is_discard for entry in index)
    if len(index) and container.format.name == "avi" and stream.time_base * stream.guessed_rate == 1:
        return stream.frames - (index[-1].timestamp + 1 - len(index))
    return stream.frames
