"""VMAF of a version against its undistorted view, by the FFmpeg of the package imageio-ffmpeg."""

import functools
import json
import subprocess
import tempfile
from pathlib import Path

MODEL = "vmaf_v0.6.1"  # built into libvmaf; trained on people's opinions
TIMEOUT_SECONDS = 600
FILTER = "[0:v]format=yuv420p[a];[1:v]format=yuv420p[b];[a][b]libvmaf=model=version={}:log_fmt=json:log_path=vmaf.json"


@functools.cache
def ffmpeg() -> str:
    """Return the path of an FFmpeg with libvmaf.

    Raises:
        FileNotFoundError: there is none.
    """
    try:
        import imageio_ffmpeg

        program = imageio_ffmpeg.get_ffmpeg_exe()
        listed = subprocess.run(
            [program, "-hide_banner", "-filters"], capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
        ).stdout
    except (ImportError, RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        raise FileNotFoundError(_needed(str(error))) from error
    if " libvmaf " not in listed:
        raise FileNotFoundError(_needed(f"{program} has no filter libvmaf"))
    return program


def _needed(found: str) -> str:
    return (
        f"VMAF needs FFmpeg with libvmaf, found: {found}. Install it by: pip install imageio-ffmpeg, or do "
        "without: --set contents_loss=tables."
    )


def measure(distorted: Path, reference: Path) -> float:
    """Compute VMAF, 0-100, the mean over all frames.

    Args:
        distorted, reference: video files of equal size, rate and length.

    Raises:
        FileNotFoundError: there is no FFmpeg with libvmaf.
        ValueError: FFmpeg fails, or takes longer than TIMEOUT_SECONDS.
    """
    inputs = [word for path in (distorted, reference) for word in ("-i", f"file:{path.resolve()}")]
    command = [ffmpeg(), "-nostdin", "-v", "error", "-threads", "1", *inputs]
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [*command, "-lavfi", FILTER.format(MODEL), "-f", "null", "-"],
                capture_output=True, text=True, check=False, cwd=folder, timeout=TIMEOUT_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise ValueError(f"VMAF of {distorted} takes longer than {TIMEOUT_SECONDS} seconds.") from error
        log = Path(folder, "vmaf.json")
        if done.returncode or not log.exists():
            raise ValueError(f"FFmpeg cannot compute VMAF of {distorted}: {done.stderr.strip()[-300:]}")
        return float(json.loads(log.read_text())["pooled_metrics"]["vmaf"]["mean"])
