"""Presets: named sets of all settings that change a result, with their validation.

Only commands use presets; library functions take plain keyword arguments.
"""

import dataclasses
import reprlib
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from nr_vqm import setting_values
from nr_vqm.models import network_sizes

PRECISIONS = ("auto", "float32", "mixed_bfloat16")
KEEP_EPOCHS = ("best", "last")
SVR_FIT_ON = ("train", "train+val")
CONTENTS_LEVELS = ("teacher", "none")
CONTENTS_LOSSES = ("both", "vmaf", "tables")


@dataclasses.dataclass(frozen=True)
class Preset:
    """All settings that change a result. Sizes are in pixels or frames, grids are (rows, columns)."""

    name: str
    # clips
    clip_frames: int = 16  # paper, section 2
    clip_size: int = 224  # paper, section 2
    train_groups: int = 26  # decision 0002: gives the published 224,640 clips on KoNViD-1k
    train_grid: tuple[int, int] = (2, 4)
    num_groups: int = 32  # groups that the heads read; paper, section 3
    block_grid: tuple[int, int] = (4, 8)
    downscale: bool = False  # ablation: every frame is resized to one clip, so grids are 1x1; decision 0002
    # the 3D-CNN: (filters, kernel, repeats) for each stage, a (1, 2, 2) max pooling after each
    convs: tuple[tuple[int, int, int], ...] = ((32, 3, 1), (64, 3, 1), (128, 3, 2), (256, 2, 2))
    fc_dims: tuple[int, int] = (1024, 512)
    dropout: float = 0.5
    # training the 3D-CNN; decision 0004
    batch_size: int = 16
    accumulate: int = 1  # batches per optimiser step, whose gradients are averaged: batch_size x accumulate clips
    epochs: int = 50  # paper, section 4
    learning_rate: float = 1e-4
    warmup_epochs: float = 1.0
    patience: int = 10
    keep_epoch: str = "best"  # the network with the lowest validation error; or "last", where few contents validate
    mirror: bool = True  # flip training clips horizontally and vertically, each with probability 0.5
    start_clips: int = 8  # clips by which the initial weights are scaled; more change little and need memory
    start_roughness: float = 0.2  # share of random weights in the averaging layers at initialisation
    precision: str = "auto"  # of the 3D-CNN in training, features and scores; auto: the fastest of the machine
    # the split, by content
    train_fraction: float = 0.6
    val_fraction: float = 0.2
    val_share: float = (
        0.1  # share of train that becomes val where a split defines no val: the paper's split, split files
    )
    # the LSTM head; decision 0005
    lstm_units: int = 32  # paper, section 3
    head_fc_dim: int = 16
    head_epochs: int = 60
    head_patience: int = 60
    head_batch_size: int = 32
    head_learning_rate: float = 2e-3
    forget_bias: float = 3.0  # initial bias of the forget gate: sigmoid(3) = 0.95
    input_bias: float = -2.0  # initial bias of the input gate: sigmoid(-2) = 0.12
    clip_noise: float = 0.6  # standard deviation of the noise on each clip quality in training, on 1-5
    finetune_rate: float = 0.1  # times head_learning_rate: a fitted head starts near an optimum
    # the FCN-LSTM, trained end to end; decision 0016
    fcn_lstm_epochs: int = 10
    fcn_lstm_learning_rate: float = 1e-5  # of networks that are trained already
    fcn_lstm_batch_size: int = 2  # videos
    fcn_lstm_regions: int = 4  # drawn from each video in every step, each over all of its groups
    fcn_lstm_region_blocks: tuple[int, int] = (1, 1)  # blocks of a region, at every multiple of block_stride
    fcn_lstm_group_weight: float = 0.5  # of the error of the groups' clip qualities; that of the video has 1
    # the grid search of the SVR head; decision 0007. It contains the paper's C 64, gamma 0.1, epsilon 0.3.
    svr_c: tuple[float, ...] = (1.0, 8.0, 64.0, 512.0)
    svr_gamma: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
    svr_epsilon: tuple[float, ...] = (0.1, 0.3)
    svr_folds: int = 5
    svr_search_videos: int = 4000  # maximum for the search, as whole contents; the fit uses all videos
    svr_linear_above: int = 4000  # with more features than this the SVR is linear, on features scaled to -1 to 1
    svr_fit_on: str = "train"  # like the LSTM heads; or "train+val", as the SVR needs no val part
    # the prediction interval of a score; decision 0012
    interval_neighbours: float = 0.2  # share of the validation videos whose errors give the spread at a score
    interval_min_neighbours: int = 15
    interval_floor: float = 0.1  # smallest spread at a score, as a share of the spread of all errors
    # the synthetic database; decision 0003
    synthetic_videos: int = 1400
    synthetic_frames: int = 48
    synthetic_size: tuple[int, int] = (128, 192)  # height, width
    # the database of pseudo-labels from a folder of videos; decision 0018
    contents_frames: int = 48  # length of a segment
    contents_versions: int = 8  # of a segment: one or two undistorted views, the others distorted
    contents_size: tuple[int, int] = (540, 960)  # largest rows and columns of a landscape view
    contents_segments: int = 1  # of one video, each from a scene of its own
    contents_seconds: float = 120.0  # of each video that are looked at
    contents_impairment: tuple[float, float] = (1.0, 1.3)  # beta distribution of impairments, mean 0.43
    contents_reencoded: float = 0.35  # share of the distorted versions that are encoded once more
    contents_level: str = "teacher"  # level of undistorted views; or "none": 5 for all
    contents_loss: str = "both"  # of distortions: the mean of "tables" and "vmaf", or one of them
    contents_synthetic: int = 0  # synthetic videos that are added, with labels of simulated raters
    seed: int = 1

    @property
    def block_stride(self) -> int:
        """Stride of block corners in pixels: the total stride of the pooling layers."""
        return 2 ** len(self.convs)

    @property
    def network(self) -> dict[str, Any]:
        """Arguments of `cnn3d.build_cnn3d`, except dtype."""
        return self._of("clip_frames", "clip_size", "convs", "fc_dims", "dropout")

    @property
    def training_clips(self) -> dict[str, Any]:
        """Arguments of `clips.plan_grid` for the training clips of the 3D-CNN, except the stride."""
        grid = {"num_groups": self.train_groups, "block_grid": self.train_grid}
        return self._of("clip_frames", "clip_size", "downscale") | grid

    @property
    def head_clips(self) -> dict[str, Any]:
        """Arguments of `clips.plan_grid` for the clips that the heads read, except the stride."""
        return self._of("clip_frames", "clip_size", "downscale", "num_groups", "block_grid")

    @property
    def lstm(self) -> dict[str, Any]:
        """Arguments of `heads.fit` for the architecture of an LSTM head."""
        return {"fc_dim": self.head_fc_dim} | self._of("lstm_units", "forget_bias", "input_bias")

    @property
    def lstm_training(self) -> dict[str, Any]:
        """Arguments of `heads.fit` and `heads.continue_lstm` for the training of an LSTM head."""
        names = ("epochs", "patience", "batch_size", "learning_rate")
        return {name: getattr(self, f"head_{name}") for name in names} | self._of("clip_noise", "seed")

    @property
    def fcn_lstm(self) -> dict[str, Any]:
        """Arguments of `fcn_lstm_training.fit_fcn_lstm` for the training."""
        names = ("epochs", "learning_rate", "group_weight")
        settings = {name: getattr(self, f"fcn_lstm_{name}") for name in names} | self._of("warmup_epochs")
        return settings | {"region_blocks": (1, 1) if self.downscale else self.fcn_lstm_region_blocks}

    @property
    def fcn_lstm_videos(self) -> dict[str, Any]:
        """Arguments of `video_batches.VideoBatches`, except those that depend on the videos and on the part."""
        rows, columns = self.fcn_lstm["region_blocks"]
        size = tuple(self.clip_size + self.block_stride * (number - 1) for number in (rows, columns))
        settings = {"num_regions": self.fcn_lstm_regions, "batch_size": self.fcn_lstm_batch_size, "region_size": size}
        clip = self._of("num_groups", "clip_frames", "clip_size", "downscale")
        return settings | clip | {"stride": self.block_stride}

    @property
    def fcn_lstm_start(self) -> dict[str, Any]:
        """Arguments of `fcn_lstm_training.new_parts`, except the videos and the network."""
        return self.lstm | self._of("start_clips", "start_roughness", "seed")

    @property
    def svr_search(self) -> dict[str, Any]:
        """Arguments of `svr_head.search_settings`, except the videos and the seed."""
        grids = {"c_grid": self.svr_c, "gamma_grid": self.svr_gamma, "epsilon_grid": self.svr_epsilon}
        limits = {"search_videos": self.svr_search_videos, "linear_above": self.svr_linear_above}
        return grids | {"num_folds": self.svr_folds} | limits

    @property
    def heads(self) -> dict[str, Any]:
        """Arguments of `heads.fit` for each method of `head_table`."""
        svr = self.svr_search | {"fit_on": self.svr_fit_on, "seed": self.seed}
        return {"lstm": self.lstm | self.lstm_training, "svr": svr, "mean": {}, "line": {}}

    @property
    def interval(self) -> dict[str, Any]:
        """Arguments of `prediction_intervals.PredictionIntervals`, except the validation videos."""
        names = ("neighbours", "min_neighbours", "floor")
        return {name: getattr(self, f"interval_{name}") for name in names}

    @property
    def synthetic(self) -> dict[str, Any]:
        """Arguments of `data_prep.synthetic.database.make_database` that describe the videos."""
        names = {"num_videos": "synthetic_videos", "num_frames": "synthetic_frames", "size": "synthetic_size"}
        return {name: getattr(self, field) for name, field in names.items()} | self._of("seed")

    @property
    def added_synthetic(self) -> dict[str, Any]:
        """The same of the synthetic videos among contents: others than those of the synthetic database of this seed."""
        return self.synthetic | {"num_videos": self.contents_synthetic, "seed": self.seed + 1}

    @property
    def contents(self) -> dict[str, Any]:
        """Argument `settings` of `data_prep.contents.database.make_database`, except min_side."""
        names = ("size", "impairment", "reencoded")
        renamed = {"num_frames": "frames", "num_versions": "versions", "max_segments": "segments"}
        renamed |= {"max_seconds": "seconds", **{name: name for name in names}}
        return {name: getattr(self, f"contents_{field}") for name, field in renamed.items()} | self._of("seed")

    def _of(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names}


# The same architecture with fewer filters and clips of 64 pixels: trains in minutes on two CPU cores.
_SMALL = Preset(
    name="small",
    clip_size=64,
    train_groups=3,
    train_grid=(2, 2),
    convs=((16, 3, 1), (32, 3, 1), (32, 3, 2), (128, 2, 2)),
    batch_size=32,
    dropout=0.2,
    epochs=7,
    learning_rate=7e-4,
    warmup_epochs=0.3,
    patience=8,
    train_fraction=0.7,
    val_fraction=0.1,
    fcn_lstm_epochs=3,
    fcn_lstm_learning_rate=2e-5,
    fcn_lstm_batch_size=8,
    fcn_lstm_regions=1,
    fcn_lstm_region_blocks=(5, 9),  # 128 x 192 pixels: the whole frame of a synthetic video
)

PRESETS = {
    "paper": Preset(name="paper"),
    "small": _SMALL,
    # Real video: more of every frame is seen in training, as the quality of a place says less about the video than in
    # the demo. The heads' grid is the smallest without a significant loss against 32 x 32: docs/results.md.
    "default": dataclasses.replace(
        _SMALL,
        name="default",
        train_grid=(3, 4),
        num_groups=16,
        block_grid=(4, 4),
        epochs=4,
        keep_epoch="last",
        learning_rate=3e-4,
        train_fraction=0.8,
        val_fraction=0.1,
        contents_synthetic=400,  # as in the run that ships: docs/model_card.md
    ),
    # For tests: all sizes differ, so that swapped axes cannot pass.
    "tiny": Preset(
        name="tiny",
        clip_frames=7,
        clip_size=24,
        train_groups=3,
        train_grid=(1, 2),
        num_groups=5,
        block_grid=(2, 3),
        convs=((3, 3, 1), (4, 2, 2)),
        fc_dims=(11, 8),
        dropout=0.1,
        batch_size=4,
        epochs=2,
        learning_rate=1e-3,
        warmup_epochs=0.0,
        lstm_units=9,
        head_fc_dim=10,
        head_epochs=3,
        head_batch_size=4,
        svr_c=(1.0, 8.0, 64.0),
        svr_gamma=(1e-2, 1e-1),
        svr_epsilon=(0.1,),
        svr_folds=2,
        fcn_lstm_epochs=2,
        fcn_lstm_learning_rate=1e-3,
        fcn_lstm_regions=2,
        fcn_lstm_region_blocks=(3, 2),
        synthetic_videos=20,
        synthetic_frames=20,
        synthetic_size=(40, 56),
        contents_frames=20,
        contents_size=(64, 80),
    ),
}


# Settings of a preset that differ for one database; --set overrides them.
FOR_DATABASE: dict[tuple[str, str | None], dict[str, Any]] = {
    ("paper", "live_qualcomm"): {"train_groups": 55, "train_grid": (4, 8)},  # decision 0002
}


def get_preset(name: str, *, database: str | None = None, overrides: Iterable[str] = ()) -> Preset:
    """Return a preset by name, with changed settings.

    Args:
        name: a key of PRESETS.
        database: applies the settings of FOR_DATABASE; 'synthetic' and 'contents' also require videos at least as
            long as a clip.
        overrides: 'setting=value' each; the value is JSON, or '2x4' for a grid.

    Raises:
        ValueError: the name is unknown, or a value is invalid.

    >>> preset = get_preset("small", overrides=["epochs=3", "block_grid=2x4"])
    >>> preset.epochs, preset.block_grid
    (3, (2, 4))
    >>> differences(preset)
    ['block_grid=(2, 4)', 'epochs=3']
    """
    if name not in PRESETS:
        raise ValueError(f"Unknown preset {name!r}. Choose from: {', '.join(PRESETS)}.")
    overridden = dict(_parse_override(text) for text in overrides)
    preset = changed(PRESETS[name], **FOR_DATABASE.get((name, database), {}) | overridden)
    if database in ("synthetic", "contents"):
        _check_generated(preset, database)
    return preset


def overridden(preset: Preset, overrides: Iterable[str]) -> Preset:
    """Return a copy of a preset with changed settings, written as the overrides of `get_preset`.

    Raises:
        ValueError: a setting is unknown, or a value is invalid.
    """
    return changed(preset, **dict(_parse_override(text) for text in overrides))


def changed(preset: Preset, **changes: Any) -> Preset:
    """Return a copy of a preset with changed settings.

    Args:
        preset: the preset.
        changes: new values by setting.

    Raises:
        ValueError: a value is invalid.
    """
    preset = dataclasses.replace(preset, **changes)
    _check(preset)
    return preset


def differences(preset: Preset) -> list[str]:
    """List the settings, without the seed, that differ from the original preset of that name, as 'setting=value'."""
    original = PRESETS.get(preset.name, Preset(preset.name))
    names = [field.name for field in dataclasses.fields(preset) if field.name != "seed"]
    return [f"{name}={getattr(preset, name)}" for name in names if getattr(preset, name) != getattr(original, name)]


def from_json(values: Mapping[str, Any]) -> Preset:
    """Create a preset from its JSON form, that of `dataclasses.asdict`. Missing settings have their defaults.

    Raises:
        ValueError: a setting is unknown, the name is missing, or a value is invalid.
    """
    types = _types()
    unknown = sorted(set(values) - set(types))
    if unknown:
        raise ValueError(f"Unknown setting {reprlib.repr(unknown[0])}. Choose from: {', '.join(types)}.")
    if "name" not in values:
        raise ValueError(
            f"A preset needs the setting 'name'. Received: {reprlib.repr(sorted(values)) if values else 'no settings'}."
        )
    preset = Preset(**{name: setting_values.cast(name, value, types[name]) for name, value in values.items()})
    _check(preset)
    return preset


def _types() -> dict[str, Any]:
    return typing.get_type_hints(Preset)


def _parse_override(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    types = _types()
    if not equals or name not in types or name == "name":
        choices = ", ".join(key for key in types if key != "name")
        raise ValueError(f"Unknown setting {text!r}. Write NAME=VALUE and choose from: {choices}.")
    return name, setting_values.parse(name, value, types[name])


def _check(preset: Preset) -> None:
    """Check the values of all settings.

    Raises:
        ValueError: a value is out of its range, or two values contradict each other.
    """
    for field in dataclasses.fields(preset):
        setting_values.check(field.name, getattr(preset, field.name))
    _check_choices(preset)
    sizes = {name: value for name, value in preset.network.items() if name != "dropout"}
    network_sizes.check_network(**sizes)
    network_sizes.check_grid(num_groups=preset.train_groups, block_grid=preset.train_grid)
    for grid in (preset.block_grid, preset.fcn_lstm_region_blocks):
        network_sizes.check_grid(num_groups=preset.num_groups, block_grid=grid)


def _check_choices(preset: Preset) -> None:
    """Check the settings that are choices or depend on each other."""
    if preset.precision not in PRECISIONS:
        raise ValueError(
            f"Setting 'precision' must be one of {', '.join(PRECISIONS)}. Received: {reprlib.repr(preset.precision)}."
        )
    if preset.svr_folds < 2:
        raise ValueError(f"Setting 'svr_folds' must be at least 2. Received: {preset.svr_folds}.")
    if preset.downscale and (preset.train_grid, preset.block_grid) != ((1, 1), (1, 1)):
        raise ValueError("A downscaled frame is one block: set train_grid=1x1 and block_grid=1x1 with downscale=true.")
    if preset.train_fraction + preset.val_fraction >= 1:
        raise ValueError(
            "Settings 'train_fraction' and 'val_fraction' must leave a part for test: their sum must be below 1. "
            f"Received: {preset.train_fraction:g} and {preset.val_fraction:g}."
        )
    choices = {
        "svr_fit_on": SVR_FIT_ON,
        "keep_epoch": KEEP_EPOCHS,
        "contents_level": CONTENTS_LEVELS,
        "contents_loss": CONTENTS_LOSSES,
    }
    for name, allowed in choices.items():
        value = getattr(preset, name)
        if value not in allowed:
            raise ValueError(f"Setting {name!r} must be one of {', '.join(allowed)}. Received: {reprlib.repr(value)}.")


def _check_generated(preset: Preset, database: str) -> None:
    """Raise ValueError if clips are longer than the videos that prep generates."""
    kinds = [database, "synthetic"] if database == "contents" and preset.contents_synthetic else [database]
    for kind in kinds:
        name = f"{kind}_frames"
        if getattr(preset, name) < preset.clip_frames:
            raise ValueError(
                f"One clip needs {preset.clip_frames} frames, the {kind} videos would have {getattr(preset, name)}. "
                f"Use a larger {name} or a smaller clip_frames."
            )
