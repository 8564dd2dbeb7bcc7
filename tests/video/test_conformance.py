"""Frames of many kinds of files equal those of FFmpeg: as many, and the same pixels, with the same conversion."""

import dataclasses
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest

from nr_vqm.video import reader

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SIZE = "160x96"
SOURCE = f"testsrc2=size={SIZE}:rate=25:duration=0.4"  # 10 frames with moving colours
ODD = f"{SOURCE},scale=161:97"  # testsrc2 itself rounds to even sizes
MAX_DIFFERENCE = 0.05  # mean of all levels: FFmpeg 9 here, FFmpeg 8 in PyAV
# FFmpeg's program shifts the chroma of H.265 by the half pixel that the stream declares; libswscale alone does so in no
# 8-bit format, and here in none: decision 0011. The bound is that of saturated synthetic edges.
CHROMA_POSITION = 3.2
X265 = "-c:v libx265 -x265-params log-level=none"
X264 = "-c:v libx264 -crf 12"


@dataclasses.dataclass(frozen=True)
class Case:
    """A file to generate and how FFmpeg reads it.

    Attributes:
        name: of the file.
        arguments: of FFmpeg between the synthetic source and the output file.
        source: the filter that generates the frames.
        remux: arguments that copy the streams into the file that is read, before and after its input.
        read: further arguments with which FFmpeg decodes the file; `deinterlace` has its own.
        deinterlace: read with deinterlacing.
        warning: the start of the only warning; empty for none.
        bound: of the mean difference of the levels.
    """

    name: str
    arguments: str
    source: str = SOURCE
    remux: tuple[str, str] | None = None
    read: str = ""
    deinterlace: bool = False
    warning: str = ""
    bound: float = MAX_DIFFERENCE


INTERLACED = "interlaced video, read as progressive"
CASES = {
    # codecs and containers
    "H.264": Case("a.mp4", X264),
    "H.264, B frames, open GOP": Case("a.mkv", f"{X264} -bf 3 -g 5 -x264-params open-gop=1"),
    "H.264, elementary stream": Case("a.264", X264),
    "H.264, transport stream": Case("a.ts", X264),
    "H.264, fragmented MP4": Case("a.mp4", f"{X264} -g 3 -movflags frag_keyframe+empty_moov"),
    "H.265": Case("a.mp4", X265),
    "AV1": Case("a.webm", "-c:v libsvtav1 -preset 12 -crf 20"),
    "VP8": Case("a.webm", "-c:v libvpx -b:v 2M"),
    "VP9": Case("a.webm", "-c:v libvpx-vp9 -b:v 2M -cpu-used 8"),
    "MPEG-2, program stream": Case("a.mpg", "-c:v mpeg2video -q:v 3"),
    "MPEG-4 part 2": Case("a.avi", "-c:v mpeg4 -q:v 3"),
    "Motion JPEG": Case("a.avi", "-c:v mjpeg -q:v 3 -pix_fmt yuvj420p"),
    "ProRes": Case("a.mov", "-c:v prores_ks"),
    "FFV1": Case("a.mkv", "-c:v ffv1 -pix_fmt yuv420p"),
    "Y4M": Case("a.y4m", "-pix_fmt yuv420p"),
    "GIF": Case("a.gif", ""),
    # pixel formats
    "4:2:2": Case("a.mkv", "-c:v ffv1 -pix_fmt yuv422p"),
    "4:4:4": Case("a.mkv", "-c:v ffv1 -pix_fmt yuv444p"),
    "4:1:1": Case("a.mkv", "-c:v ffv1 -pix_fmt yuv411p"),
    "4:2:0, 10 bits": Case("a.mkv", "-c:v ffv1 -pix_fmt yuv420p10le"),
    "4:2:0, 10 bits, H.265": Case("a.mp4", f"{X265} -pix_fmt yuv420p10le", bound=CHROMA_POSITION),
    "4:2:2, 10 bits": Case("a.mkv", "-c:v ffv1 -pix_fmt yuv422p10le"),
    "4:4:4, 12 bits": Case("a.mkv", "-c:v ffv1 -pix_fmt yuv444p12le"),
    "grey": Case("a.mkv", "-c:v ffv1 -pix_fmt gray"),
    "RGB, planar": Case("a.mkv", "-c:v ffv1 -pix_fmt gbrp"),
    "BGR, uncompressed": Case("a.avi", "-c:v rawvideo -pix_fmt bgr24"),
    "alpha": Case("a.mkv", "-c:v ffv1 -pix_fmt yuva420p", warning="an alpha channel, which is ignored"),
    # ranges and matrices
    "full range": Case("a.mp4", f"-vf scale=out_range=full {X264} -pix_fmt yuv420p -color_range pc"),
    "BT.709": Case("a.mp4", f"-vf scale=out_color_matrix=bt709 {X264} -pix_fmt yuv420p -colorspace bt709"),
    "BT.2020": Case(
        "a.mp4", f"-vf scale=out_color_matrix=bt2020 {X265} -pix_fmt yuv420p10le -colorspace bt2020nc",
        bound=CHROMA_POSITION,
    ),
    "HDR, PQ": Case(
        "a.mp4",
        f"-vf scale=out_color_matrix=bt2020 {X265}:transfer=16:colormatrix=9 -pix_fmt yuv420p10le",
        warning="HDR video (PQ)",
        bound=CHROMA_POSITION,
    ),
    # geometry
    "rotated by 90 degrees": Case("a.mp4", X264, remux=("-display_rotation 90", "")),
    "rotated by 180 degrees": Case("a.mp4", X264, remux=("-display_rotation 180", "")),
    "reflected": Case("a.mp4", X264, remux=("-display_hflip", "")),
    "reflected and rotated": Case("a.mp4", X264, remux=("-display_rotation 270 -display_vflip", "")),
    "rotated by 1 degree": Case("a.mp4", X264, remux=("-display_rotation 1", ""), read="-noautorotate"),
    "cropped": Case("a.mp4", X264, remux=("", "-bsf:v h264_metadata=crop_left=10:crop_top=20:crop_right=6")),
    "odd size": Case("a.webm", "-c:v libvpx-vp9 -b:v 2M -cpu-used 8", source=ODD),
    "odd size, 4:4:4": Case("a.mkv", f"{X264} -pix_fmt yuv444p", source=ODD),
    "non-square pixels": Case("a.mp4", f"-vf setsar=4/3 {X264}", warning="non-square pixels, 4:3"),
    # time
    "variable frame rate": Case("a.mkv", f"-vf setpts='(N+8*gte(N,5))/25/TB' -fps_mode vfr {X264}"),
    "edit list": Case("a.mp4", f"{X264} -g 50 -bf 3", remux=("-ss 0.16", "")),
    # interlaced
    "interlaced MPEG-2": Case("a.mpg", "-c:v mpeg2video -q:v 3 -flags +ildct+ilme", warning=INTERLACED),
    "interlaced H.264": Case("a.mp4", f"{X264} -flags +ildct+ilme -x264-params tff=1", warning=INTERLACED),
    "interlaced, full range, BT.709": Case(
        "a.mp4", f"-vf scale=out_range=full:out_color_matrix=bt709 {X264} -pix_fmt yuv420p -color_range pc "
        "-colorspace bt709 -flags +ildct+ilme -x264-params tff=1", warning=INTERLACED,
    ),
    "interlaced, full range, BT.709, deinterlaced": Case(
        "a.mp4", "-vf tinterlace=interleave_top,fieldorder=tff,scale=out_range=full:out_color_matrix=bt709:interl=1 "
        f"{X264} -pix_fmt yuv420p -color_range pc -colorspace bt709 -flags +ildct+ilme -x264-params tff=1",
        source=SOURCE.replace("rate=25", "rate=50"),
        read="-vf bwdif=mode=send_frame:deint=interlaced",
        deinterlace=True,
        warning="interlaced video, deinterlaced",
    ),
    "interlaced, 4:2:2, 10 bits": Case(
        "a.mov", "-c:v prores_ks -flags +ildct+ilme", warning=INTERLACED,
    ),
    "interlaced, deinterlaced": Case(
        "a.mpg",
        "-vf tinterlace=interleave_top,fieldorder=tff -c:v mpeg2video -q:v 3 -flags +ildct+ilme",
        source=SOURCE.replace("rate=25", "rate=50"),
        read="-vf bwdif=mode=send_frame:deint=interlaced",
        deinterlace=True,
        warning="interlaced video, deinterlaced",
    ),
    # streams
    "cover image": Case(
        "a.mp4", f"-f lavfi -i color=red:size=320x200:duration=0.04 -map 0 -map 1 {X264} -c:v:1 mjpeg -pix_fmt:v:1 "
        "yuvj420p -disposition:v:1 attached_pic",
    ),
    "sound and subtitles apart": Case("a.mkv", f"-f lavfi -i sine=duration=0.4 -map 0 -map 1 {X264} -c:a aac"),
    "two video streams": Case(
        "a.mkv", f"-f lavfi -i testsrc=size=80x48:duration=0.4 -map 1 -map 0 {X264} -disposition:v:0 0",
        warning="2 video streams: stream 1 of 160x96 is read; nr-vqm score --stream reads another",
    ),
}  # fmt: skip


def ffmpeg(*arguments):
    command = [FFMPEG, "-y", "-loglevel", "error", "-threads", "1", *arguments]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def generate(case, folder):
    """Write the file of a case; return its path."""
    path = folder / case.name
    first = path.with_stem("before") if case.remux else path
    ffmpeg("-f", "lavfi", "-i", case.source, *case.arguments.split(), str(first))
    if case.remux:
        before, after = (text.split() for text in case.remux)
        ffmpeg(*before, "-i", str(first), "-c", "copy", *after, str(path))
    return path


def ffmpeg_frames(path, shape, case):
    """Decode a file with FFmpeg's own program; return float32 RGB, shape (num_frames, height, width, 3)."""
    options = ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "bgr24", "-sws_flags", "bicubic", "-"]
    decode = case.read.split()
    before = [word for word in decode if word == "-noautorotate"]
    data = ffmpeg(*before, "-i", str(path), *[word for word in decode if word not in before], *options)
    return np.frombuffer(data, np.uint8).reshape(-1, *shape)[..., ::-1].astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_frames_equal_those_of_ffmpeg(tmp_path, name, monkeypatch):
    monkeypatch.setenv("SVT_LOG", "1")
    case = CASES[name]
    path = generate(case, tmp_path)
    frames = reader.read_frames(path, deinterlace=case.deinterlace)
    found = np.stack(list(frames)).astype(np.float32)
    expected = ffmpeg_frames(path, found.shape[1:], case)
    assert len(found) == len(expected) >= 6
    difference = np.abs(found - expected).mean()
    print(f"| {name} | {len(found)} | {found.shape[2]}x{found.shape[1]} | {difference:.3f} |")
    assert difference <= case.bound
    assert frames.info.expected == len(found)
    assert [text[: len(case.warning)] for text in frames.warnings] == ([case.warning] if case.warning else [])
