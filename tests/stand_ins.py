"""Folders with the layout and file names of the downloaded databases, with synthetic videos and MOS.

Noise grows as the MOS falls, so that there is something to learn.
"""

import csv
from pathlib import Path

import av
import numpy as np
import openpyxl
import scipy.io

DISTORTIONS = ("Artifacts", "Color", "Exposure", "Focus", "Sharpness", "Stabilization")
PHONES = ("GS5", "GS6", "HTCOneVX", "Note4")


def make_konvid1k(folder, *, num_videos=12, num_frames=20, height=40, width=56):
    """KoNViD-1k as downloaded: both label files and KoNViD_1k_videos/<flickr id>.mp4 in H.264.

    Args:
        folder: the folder to create.
        num_videos, num_frames: number of videos, and of frames of each.
        height, width: pixels, even; the real ones have 540 x 960.

    Returns:
        {video_id: MOS}, in the order of the label files.
    """
    folder = Path(folder)
    (folder / "KoNViD_1k_videos").mkdir(parents=True)
    mos = {str(2500000000 + 7919 * n): round(1.3 + 3.2 * n / max(1, num_videos - 1), 2) for n in range(num_videos)}
    for n, (video_id, value) in enumerate(mos.items()):
        frames = noisy_frames(n, num_frames, height, width, noise=12 * (5 - value))
        write_h264(folder / "KoNViD_1k_videos" / f"{video_id}.mp4", frames)
    header = ["flickr_id", "download_id", "file_name", "MOS", "ti", "si", "colorfulness", "contrast", "blur", "vniqe"]
    names = [f"{video_id}_original_centercrop_960x540_8s.mp4" for video_id in mos]
    rows = [
        [video_id, 800000 + n, name, value, 4.5, 14.4, 45.7, 20.3, 0.5, 21.7]
        for n, (name, (video_id, value)) in enumerate(zip(names, mos.items(), strict=True))
    ]
    write_csv(folder / "KoNViD_1k_attributes.csv", [header, *rows])
    write_csv(folder / "KoNViD_1k_mos.csv", [["flickr_id", "mos"], *mos.items()])
    return mos


def make_live_qualcomm(folder, *, num_scenes=10, phones=2, num_frames=9, height=1080, width=1920):
    """LIVE-Qualcomm as downloaded: qualcommSubjectiveData.mat and <distortion>/<name>.yuv.

    One second of the real size is 93 MB. Tests use smaller frames and declare them: `--raw 72x48:yuv420p:30`.

    Args:
        folder: the folder to create.
        num_scenes: at most 20; 10 are enough for a test part.
        phones: number of phones that record each scene, at most 4.
        num_frames: number of frames of each video.
        height, width: pixels, even.

    Returns:
        {video_id: MOS}, in the order of the label file.
    """
    folder, names, mos = Path(folder), [], []
    for scene in range(num_scenes):
        date, word = f"09{11 + scene}", f"Scene{chr(65 + scene)}"
        for phone in PHONES[:phones]:
            # Both official forms: with and without an underscore after the date.
            names.append(f"{date}{'_' * (scene % 2)}{word}_{phone}_2015{date}_1300{len(names):02d}.yuv")
            mos.append(20 + 50 * len(mos) / max(1, num_scenes * phones - 1) + scene % 3)
    for n, (name, value) in enumerate(zip(names, mos, strict=True)):
        path = folder / DISTORTIONS[n % 6] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_yuv420p(path, noisy_frames(n // phones, num_frames, height, width, noise=0.6 * (80 - value)))
    save_qualcomm_labels(folder / "qualcommSubjectiveData.mat", names, mos)
    return {Path(name).stem: value for name, value in zip(names, mos, strict=True)}


def save_qualcomm_labels(path, names, mos):
    """The official .mat: two structures, columns of cells and numbers."""
    numbers = np.arange(len(names), dtype=np.uint8)[:, None]
    videos = {
        "vidNames": np.array(names, dtype=object)[:, None],
        "distortionType": numbers % 6 + 1,
        "distortionNames": np.array(DISTORTIONS, dtype=object)[:, None],
        "phoneID": numbers % len(PHONES) + 1,
        "phoneType": np.array(PHONES, dtype=object)[:, None],
    }
    opinions = {"unBiasedMOS": np.array(mos)[:, None], "biasedMOS": np.array(mos)[:, None] - 3}
    scipy.io.savemat(path, {"qualcommVideoData": videos, "qualcommSubjectiveData": opinions})


def noisy_frames(seed, num_frames, height, width, *, noise):
    """Yield RGB frames of a moving pattern under noise of that standard deviation."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves, phase = rng.uniform(0.1, 0.5, (3, 2)), rng.uniform(0, 6, 3)
    for time in range(num_frames):
        angles = waves[:, 0, None, None] * rows + waves[:, 1, None, None] * (columns + time)
        clean = 128 + 90 * np.sin(angles + phase[:, None, None]).transpose(1, 2, 0)
        yield np.clip(clean + noise * rng.standard_normal((height, width, 1)), 0, 255).astype(np.uint8)


def write_h264(path, frames, *, fps=30):
    """Write RGB frames as H.264 in an .mp4 that declares its frames at its beginning, as files on the web do."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "12", "preset": "ultrafast"})
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(frames):
            if number == 0:
                stream.height, stream.width = frame.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_yuv420p(path, frames):
    """Write RGB frames as headerless planar 4:2:0."""
    with open(path, "wb") as file:
        for frame in frames:
            file.write(av.VideoFrame.from_ndarray(frame, format="rgb24").to_ndarray(format="yuv420p").tobytes())
    return path


def write_csv(path, rows):
    """Write rows as a csv."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return path


def write_xlsx(path, sheet, rows):
    """Write rows as a sheet of a workbook, after an empty sheet called 'other'."""
    book = openpyxl.Workbook()
    book.active.title = "other"
    target = book.create_sheet(sheet)
    for number, row in enumerate(rows, start=1):
        for column, value in enumerate(row, start=1):
            target.cell(number, column, value)
    book.save(path)
    return path
