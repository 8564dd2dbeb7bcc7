"""A video and a saved run -> a Score."""

import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from nr_vqm import bundle, cnn3d, decoder_worker, devices, features, files, lstm_head, manifest, svr_baseline, video
from nr_vqm.trunk import SharedTrunk

HEADS = ("lstm", "svr")


@dataclass(frozen=True)
class Score:
    """What a run says of one video.

    Attributes:
        path: the video; empty for an array.
        head: 'lstm' or 'svr'.
        mos: in the unit of the run's database, `mos_low` to `mos_high`.
        quality: the same on the 1-5 scale.
        frames: decoded frames.
        declared_frames: what the file's header says, 0 where it does not.
        warnings: what makes the score doubtful; empty is good.
    """

    path: str
    head: str
    mos: float
    quality: float
    mos_low: float
    mos_high: float
    frames: int
    declared_frames: int
    warnings: tuple[str, ...]

    def to_dict(self):
        """JSON-ready."""
        return asdict(self)


class Scorer:
    """A loaded run. Make it with `nr_vqm.load`."""

    def __init__(self, run_dir, *, head, precision=None):
        """
        Args:
            run_dir: a folder that train and compare wrote.
            head: 'lstm' or 'svr'.
            precision: a Keras dtype policy; None takes the fastest that the machine has.

        Raises:
            FileNotFoundError, ValueError: a model is missing, damaged or not ours.
        """
        if head not in HEADS:
            raise ValueError(f"Unknown head {head!r}. Choose from: {', '.join(HEADS)}.")
        decoder_worker.start()  # while TensorFlow is imported
        run_dir = Path(run_dir)
        self.preset = bundle.read_preset(run_dir)
        self.mos_range = tuple(bundle.read_run(run_dir).get("mos_range", (1.0, 5.0)))
        self.head = head
        self.trunk = load_trunk(run_dir, precision=precision)
        if head == "lstm":
            model = bundle.load_model(run_dir / "lstm_head.keras", made_by="make compare")
            self._predict = lambda outputs: lstm_head.predict(model, outputs.clip_quality[None])[0]
        else:
            pipeline = load_svr(run_dir)
            self._predict = lambda outputs: pipeline.predict(outputs.features.mean(axis=(0, 1))[None])[0]

    def score(self, source, raw=None):
        """Score one video.

        Args:
            source: a path, or an array of frames: uint8 RGB, shape (num_frames, height, width, 3).
            raw: the raw_video.RawFormat of a .yuv file.

        Returns:
            Score.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not a video, or fewer frames than one clip.
        """
        if isinstance(source, np.ndarray):
            frames, declared, path, warnings = check_frames(source), len(source), "", []
            outputs = self._outputs(frames, len(frames), *frames.shape[1:3])
            decoded = declared
        else:
            path = str(source)
            outputs, decoded, declared, warnings = self._outputs_of_file(path, raw)
        return self._score(outputs, path, decoded, declared, warnings)

    def _outputs_of_file(self, path, raw):
        """Outputs, decoded and declared frames, warnings. Decodes once where the file tells its frames."""
        with video.read_frames(path, raw) as frames:
            info, outputs = frames.info, None
            with contextlib.suppress(ValueError):  # too few frames: found out below
                outputs = self._outputs(frames, info.expected, info.height, info.width)
            for _ in frames:
                pass
        if outputs is None or frames.decoded != info.expected:
            with video.read_frames(path, raw) as again:
                outputs = self._outputs(again, frames.decoded, info.height, info.width)
        return outputs, frames.decoded, info.frames, frames.warnings

    def _outputs(self, frames, count, height, width):
        preset = self.preset
        return features.extract(
            frames,
            trunk=self.trunk,
            num_frames=count,
            height=height,
            width=width,
            num_groups=preset.num_groups,
            block_grid=preset.block_grid,
            clip_frames=preset.clip_frames,
            clip_size=preset.clip_size,
        )

    def _score(self, outputs, path, decoded, declared, warnings):
        quality = float(np.clip(self._predict(outputs), 1, 5))
        low, high = self.mos_range
        return Score(
            path=path,
            head=self.head,
            mos=manifest.from_unit_5(quality, low, high),
            quality=quality,
            mos_low=low,
            mos_high=high,
            frames=decoded,
            declared_frames=declared,
            warnings=tuple(warnings),
        )


def load_trunk(run_dir, *, precision=None):
    """The run's 3D-CNN, ready to run over videos in the machine's best precision."""
    model = bundle.load_model(Path(run_dir) / "cnn3d.keras", made_by="make train")
    return SharedTrunk(cnn3d.with_dtype(model, precision or devices.best_precision()))


def load_svr(run_dir):
    """The run's SVR baseline, checked and loaded without pickle."""
    path = Path(run_dir) / "svr.skops"
    files.require(path, made_by="make compare")
    bundle.check_sum(path)
    return svr_baseline.load_svr(path)


def check_frames(frames):
    """Refuse an array that is not a video."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise ValueError(
            "A video array must be uint8 RGB, shape (num_frames, height, width, 3). "
            f"Received: {frames.dtype}, shape {frames.shape}."
        )
    return frames
