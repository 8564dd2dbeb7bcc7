"""Score videos with a head on hand-crafted features. It needs neither the 3D-CNN nor TensorFlow."""

import os
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from nr_vqm.dataset import label_origin, mos_scale
from nr_vqm.handcrafted import cornia, methods
from nr_vqm.models import head_table
from nr_vqm.runs import interval_file, model_check, rival_inputs, shallow_heads
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.scoring.attempts import attempt
from nr_vqm.scoring.score import Score
from nr_vqm.video import clips, raw_video, reader


class RivalScorer:
    """A run that is loaded for scoring with a head on hand-crafted features; create it with `nr_vqm.load`.

    Attributes:
        run_dir: the run folder.
        head: name of the head, which is that of the method.
        model_id: 12 hexadecimal digits that identify the head and its codebook.
        engine: library that computes the features, 'numpy'.
        precision: of the features, 'float64'.
        labels: origin of the training labels, a key of `label_origin.ORIGINS`.
        mos_range: the two ends of the scale of the run's database.
    """

    engine, precision = "numpy", "float64"

    def __init__(self, run_dir: str | os.PathLike[str], *, head: str) -> None:
        """Load one head, and the codebook if its method needs one.

        Args:
            run_dir: a run folder that the stages train and compare have written.
            head: one of `head_table.RIVALS`.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file is damaged or was not written by nr-vqm, or the head was fitted on another version of
                the features.
        """
        self.model_id = model_check.check_run(run_dir, head)
        self.run_dir, self.head = os.fspath(run_dir), head
        run, row, self._method = RunFolder(run_dir), head_table.get(head), methods.get(head)
        fitted_on = run.stage_settings(row.stage).get("version")
        if fitted_on != self._method.version:
            raise ValueError(
                f"{run.head(head)} was fitted on version {fitted_on} of the features of {row.label}, this nr-vqm "
                f"computes version {self._method.version}. Compute and fit again: make rivals, then {row.made_by}."
            )
        self.mos_range, (_, self.labels) = run.read_mos_range(), run.read_labels()
        self._spread = interval_file.read(run_dir, head, **run.read_preset().interval)
        self._codebook = cornia.load_codebook(run.codebook) if self._method.needs_codebook else None
        self._head = shallow_heads.LOAD[row.method](run, row)

    def __repr__(self) -> str:
        low, high = self.mos_range
        return f"RivalScorer({self.run_dir!r}, head {self.head}, model {self.model_id}, {low:g}-{high:g})"

    def score(
        self,
        source: str | os.PathLike[str] | np.ndarray,
        raw: raw_video.RawFormat | str | None = None,
        *,
        fps: float = 0.0,
    ) -> Score:
        """Score one video.

        Args:
            source: path of a video. An array of frames is refused.
            raw: format of a headerless .yuv file, such as '1920x1080:yuv420p:30'; ignored for other files.
            fps: ignored; for the same call as `Scorer.score`.

        Returns:
            The Score of the video, without clips.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the source is an array or not a video, or its features cannot be computed.
        """
        if isinstance(source, np.ndarray):
            raise ValueError(
                f"Head {self.head!r} reads the decoder's luma plane, so it needs a path. Received: an array "
                "of frames. Save it as a video, or use a head of the 3D-CNN."
            )
        start = time.monotonic()
        info = reader.probe(source, raw)
        features, notes = self._features(source, raw)
        score = float(mos_scale.to_score(float(self._head.predict(features[None])[0]), *self.mos_range))
        quality = mos_scale.to_unit_5(score, *self.mos_range)
        low, high = interval_file.in_unit_of(self._spread, quality, self.mos_range)
        return Score(
            path=str(source),
            labels=self.labels,
            head=self.head,
            engine=self.engine,
            model_id=self.model_id,
            precision=self.precision,
            score=score,
            scale_min=self.mos_range[0],
            scale_max=self.mos_range[1],
            quality=quality,
            interval_low=low,
            interval_high=high,
            percentile=self._spread.percentile(quality) if self._spread else None,
            frames=info.expected,
            declared_frames=info.frames,
            width=info.width,
            height=info.height,
            fps=info.fps,
            grid=clips.ClipGrid((), (), (), 0, 0, info.height, info.width),
            clip_quality=np.empty((0, 1), np.float32),
            worst_frame=b"",
            warnings=(*label_origin.WARNINGS[self.labels], *info.warnings, *notes),
            seconds=round(time.monotonic() - start, 2),
        )

    def score_many(
        self, paths: Iterable[str | os.PathLike[str]], raw: raw_video.RawFormat | str | None = None
    ) -> Iterator[tuple[Score | None, Exception | None]]:
        """Score several videos.

        Args:
            paths: the videos.
            raw: format of all .yuv files, see `score`.

        Yields:
            For each path, in order, (Score, None), or (None, error) for a video that cannot be scored.
        """
        for path in paths:
            yield attempt(self.score, path, raw)

    def _features(
        self, path: str | os.PathLike[str], raw: raw_video.RawFormat | str | None
    ) -> tuple[np.ndarray, list[str]]:
        """Return the features, float64 (num_features,), with NaN for missing ones, and reasons to doubt them."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = self._method.compute(path, raw=raw, codebook=self._codebook, video_id=Path(path).stem)
        features = rival_inputs.as_missing(found)
        # The methods warn about the decoding of a file: 'PATH: what is wrong'.
        notes = [str(one.message).removeprefix(f"{path}: ") for one in caught if one.category is UserWarning]
        if missing := int(np.isnan(features).sum()):
            notes.append(f"{missing} of {features.size} features are undefined; the training means replace them")
        return features, notes
