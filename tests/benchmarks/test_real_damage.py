"""Tests that clip qualities localise a distortion in one quarter of the frame or in one second of the video.

The weights of the 3D-CNN are set by hand: it measures fine detail, so blur lowers the clip quality where it occurs.
"""

import csv

import cv2
import keras
import numpy as np
import pytest
from sample_videos import write_ffv1
from scipy.stats import spearmanr

import nr_vqm
from nr_vqm import cli, presets
from nr_vqm.runs import untrained_run
from nr_vqm.runs.run_folder import RunFolder

HEIGHT, WIDTH, FRAMES, FPS = 96, 144, 60, 20


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A run whose clip quality is 2 plus a measure of fine detail."""
    preset = presets.get_preset("tiny", overrides=["num_groups=15", "block_grid=4x6"])
    run = untrained_run.write(tmp_path_factory.mktemp("run"), preset, mos_range=(0.0, 100.0), labels="people").path
    model = keras.models.load_model(run / "cnn3d.keras", compile=False)
    for layer in model.layers:
        for weights in layer.weights:
            weights.assign(np.zeros(weights.shape))
    edges = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]]) / 3
    kernel = np.zeros(model.get_layer("conv1a").kernel.shape, np.float32)
    kernel[1, :, :, :, 0] = edges[..., None]  # the middle frame, all three colours
    kernel[1, :, :, :, 1] = -edges[..., None]
    model.get_layer("conv1a").kernel.assign(kernel)
    for name in ("conv2a", "conv2b", "fc1", "fc2", "output"):
        weights = model.get_layer(name).kernel
        weights.assign(np.full(weights.shape, 1 / np.prod(weights.shape[:-1]), np.float32))
    model.get_layer("output").bias.assign([-1.0])
    model.save(run / "cnn3d.keras")
    with RunFolder(run).stage("compare"):
        pass
    return run


def texture():
    """Return frames with moving fine detail, about equal everywhere."""
    rng = np.random.default_rng(1)
    large = cv2.GaussianBlur(rng.uniform(0, 255, (HEIGHT + FRAMES, WIDTH, 3)).astype(np.float32), (0, 0), 0.7)
    return [large[t : t + HEIGHT].astype(np.uint8) for t in range(FRAMES)]


def blurred(frame):
    return cv2.GaussianBlur(frame, (0, 0), 4)


def share_inside(start, size, low, high):
    """Return the share of start...start + size that lies within low...high."""
    return max(0, min(start + size, high) - max(start, low)) / size


def clip_rows(run_dir, frames, folder):
    """Score a video of these frames and return the rows of `nr-vqm score --clips`."""
    video = write_ffv1(folder / "video.mkv", frames, fps=FPS)
    assert cli.main(["score", str(video), "--run", str(run_dir), "--clips", str(folder / "clips.csv")]) == 0
    with open(folder / "clips.csv", newline="") as file:
        return [
            {name: cell if name == "path" else float(cell) for name, cell in row.items()}
            for row in csv.DictReader(file)
        ]


@pytest.mark.slow
@pytest.mark.parametrize("top", [0, HEIGHT // 2])
@pytest.mark.parametrize("left", [0, WIDTH // 2])
def test_a_distorted_quarter_is_localised(run_dir, tmp_path, top, left, capsys):
    frames = texture()
    for frame in frames:
        quarter = frame[top : top + HEIGHT // 2, left : left + WIDTH // 2]
        quarter[:] = blurred(quarter)
    rows = clip_rows(run_dir, frames, tmp_path)
    distortion = [
        share_inside(row["top"], row["size"], top, top + HEIGHT // 2)
        * share_inside(row["left"], row["size"], left, left + WIDTH // 2)
        for row in rows
    ]
    assert spearmanr(distortion, [row["quality"] for row in rows]).statistic < -0.7
    worst = min(rows, key=lambda row: row["quality"])
    assert (worst["top"] + 12 > HEIGHT / 2, worst["left"] + 12 > WIDTH / 2) == (top > 0, left > 0)


@pytest.mark.slow
@pytest.mark.parametrize("second", [0, 1, 2])
def test_a_distorted_second_is_localised(run_dir, tmp_path, second, capsys):
    frames = texture()
    frames[second * FPS : (second + 1) * FPS] = [blurred(frame) for frame in frames[second * FPS : (second + 1) * FPS]]
    rows = clip_rows(run_dir, frames, tmp_path)
    # The network of `tiny` depends mostly on the middle of a clip's seven frames; the share is of the whole clip.
    distortion = [share_inside(row["seconds"], 7 / FPS, second, second + 1) for row in rows]
    assert spearmanr(distortion, [row["quality"] for row in rows]).statistic < -0.7
    score = nr_vqm.load(run_dir).score(np.stack(frames), fps=FPS)
    middle = (score.grid.starts[score.worst_group] + 3.5) / FPS
    assert second <= middle <= second + 1


def test_without_distortion_clip_quality_is_uniform(run_dir, tmp_path, capsys):
    rows = clip_rows(run_dir, texture(), tmp_path)
    quality = np.array([row["quality"] for row in rows])
    assert quality.min() > 1.5  # the network responds to the detail
    assert quality.std() < 0.05 * (quality.mean() - 1)
