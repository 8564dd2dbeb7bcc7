"""Named settings. Commands know a Preset; library functions take plain keyword arguments."""

import dataclasses
import json
import math
import typing
from collections.abc import Iterable, Iterator, Mapping

from nr_vqm.models import network_sizes

PRECISIONS = ("auto", "float32", "mixed_bfloat16")
SVR_FIT_ON = ("train", "train+val")


@dataclasses.dataclass(frozen=True)
class Preset:
    """Every setting that changes a result. Sizes are in pixels and frames, grids are (rows, columns)."""

    name: str
    # clips
    clip_frames: int = 16  # paper, section 2
    clip_size: int = 224  # paper, section 2
    train_groups: int = 26  # decision 0002: gives the published 224,640 clips on KoNViD-1k
    train_grid: tuple[int, int] = (2, 4)
    num_groups: int = 32  # what the heads read; paper, section 3
    block_grid: tuple[int, int] = (4, 8)
    downscale: bool = False  # the ablation: every frame resized to one clip, so grids of 1x1; decision 0002
    # the 3D-CNN: (filters, kernel, repeats) for each stage, a (1, 2, 2) max pooling after each
    convs: tuple[tuple[int, int, int], ...] = ((32, 3, 1), (64, 3, 1), (128, 3, 2), (256, 2, 2))
    fc_dims: tuple[int, int] = (1024, 512)
    dropout: float = 0.5
    # training the 3D-CNN; decision 0004
    batch_size: int = 16
    accumulate: int = 1  # batches whose mean gradient makes one step: batch_size x accumulate clips
    epochs: int = 50  # paper, section 4
    learning_rate: float = 1e-4
    warmup_epochs: float = 1.0
    patience: int = 10
    mirror: bool = True  # training clips left-right and top-bottom, each with probability one half
    start_clips: int = 8  # that scale the starting weights; more change little and cost memory
    start_roughness: float = 0.2  # share of independent weights in the averaging layers at the start
    precision: str = "auto"  # of the 3D-CNN in training, features and scores; auto: what is fast on the machine
    # the split, by content
    train_fraction: float = 0.6
    val_fraction: float = 0.2
    val_share: float = 0.1  # of a training part that comes without a validation part: the paper's, split files
    # the LSTM head; decision 0005
    lstm_units: int = 32  # paper, section 3
    head_fc_dim: int = 16
    head_epochs: int = 60
    head_patience: int = 60
    head_batch_size: int = 32
    head_learning_rate: float = 2e-3
    forget_bias: float = 3.0  # of the gate that keeps a cell at the start: sigmoid(3) = 0.95
    input_bias: float = -2.0  # of the gate that writes to it: sigmoid(-2) = 0.12
    clip_noise: float = 0.6  # standard deviation added to each clip quality in training, on 1-5
    finetune_rate: float = 0.1  # times head_learning_rate: a fitted head starts near a good place
    # the SVR head's search; decision 0007. Holds the nearest evidence for the paper's C 64, gamma 0.1, epsilon 0.3.
    svr_c: tuple[float, ...] = (1.0, 8.0, 64.0, 512.0)
    svr_gamma: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
    svr_epsilon: tuple[float, ...] = (0.1, 0.3)
    svr_folds: int = 5
    svr_search_videos: int = 4000  # of more, the search reads whole contents with so many; the fit reads all
    svr_fit_on: str = "train"  # as the LSTM heads are; or "train+val": it needs no validation part
    # the interval of a score; decision 0012
    interval_neighbours: float = 0.2  # share of the validation videos whose errors tell the spread at a score
    interval_min_neighbours: int = 15
    interval_floor: float = 0.1  # no spread is taken to be less than this share of the whole one
    # the synthetic database; decision 0003
    synthetic_videos: int = 1400
    synthetic_frames: int = 48
    synthetic_size: tuple[int, int] = (128, 192)  # height, width
    seed: int = 1

    @property
    def block_stride(self) -> int:
        """Block corners are multiples of this: the product of the poolings."""
        return 2 ** len(self.convs)

    @property
    def network(self) -> dict:
        """What `cnn3d.build_cnn3d` takes, but dtype."""
        return self._of("clip_frames", "clip_size", "convs", "fc_dims", "dropout")

    @property
    def training_clips(self) -> dict:
        """What `clips.plan_grid` takes for the clips that the 3D-CNN is trained on, but the trunk's stride."""
        grid = {"num_groups": self.train_groups, "block_grid": self.train_grid}
        return self._of("clip_frames", "clip_size", "downscale") | grid

    @property
    def head_clips(self) -> dict:
        """The same for the clips that the heads read."""
        return self._of("clip_frames", "clip_size", "downscale", "num_groups", "block_grid")

    @property
    def lstm(self) -> dict:
        """What `heads.fit` takes to build an LSTM head."""
        return {"fc_dim": self.head_fc_dim} | self._of("lstm_units", "forget_bias", "input_bias")

    @property
    def lstm_training(self) -> dict:
        """What `heads.fit` and `heads.continue_lstm` take to train one."""
        names = ("epochs", "patience", "batch_size", "learning_rate")
        return {name: getattr(self, f"head_{name}") for name in names} | self._of("clip_noise", "seed")

    @property
    def svr_search(self) -> dict:
        """What `svr_head.fit_svr` takes beside the videos and a seed."""
        grids = {"c_grid": self.svr_c, "gamma_grid": self.svr_gamma, "epsilon_grid": self.svr_epsilon}
        return grids | {"num_folds": self.svr_folds, "search_videos": self.svr_search_videos}

    @property
    def heads(self) -> dict:
        """{method: what `heads.fit` takes for a head of this method}."""
        svr = self.svr_search | {"fit_on": self.svr_fit_on, "seed": self.seed}
        return {"lstm": self.lstm | self.lstm_training, "svr": svr, "mean": {}}

    @property
    def interval(self) -> dict:
        """What `prediction_intervals.Spread` takes beside the validation videos."""
        names = ("neighbours", "min_neighbours", "floor")
        return {name: getattr(self, f"interval_{name}") for name in names}

    def _of(self, *names):
        return {name: getattr(self, name) for name in names}


PRESETS = {
    "paper": Preset(name="paper"),
    # The same architecture with fewer filters on clips of 64 pixels: trains on two CPU cores in minutes.
    "small": Preset(
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
    ),
    # For tests: no two sizes alike, so that a swapped axis cannot pass.
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
        synthetic_videos=20,
        synthetic_frames=20,
        synthetic_size=(40, 56),
    ),
}


# What a preset has otherwise for one database; --set comes after it.
FOR_DATABASE = {
    ("paper", "live_qualcomm"): {"train_groups": 55, "train_grid": (4, 8)},  # decision 0002
}


def get_preset(name: str, *, database: str | None = None, overrides: Iterable[str] = ()) -> Preset:
    """Return a preset by name, with some settings changed.

    Args:
        name: a key of PRESETS.
        database: applies what FOR_DATABASE has for it; for 'synthetic' its videos must be as long as a clip. None: any.
        overrides: strings 'setting=value'; a value is JSON, or for a grid '2x4'.

    Raises:
        ValueError: an unknown name, a value of the wrong type, or sizes of which no network can be built.
    """
    if name not in PRESETS:
        raise ValueError(f"Unknown preset {name!r}. Choose from: {', '.join(PRESETS)}.")
    overridden = dict(_parse_override(text) for text in overrides)
    preset = changed(PRESETS[name], **FOR_DATABASE.get((name, database), {}) | overridden)
    if database == "synthetic":
        _check_synthetic(preset)
    return preset


def changed(preset: Preset, **changes) -> Preset:
    """Return the preset with some settings changed; ValueError where no run can use them."""
    preset = dataclasses.replace(preset, **changes)
    _check(preset)
    return preset


def differences(preset: Preset) -> list[str]:
    """List what a preset changes of the one it is named after as 'setting=value', the seed left out."""
    original = PRESETS.get(preset.name, Preset(preset.name))
    names = [field.name for field in dataclasses.fields(preset) if field.name != "seed"]
    return [f"{name}={getattr(preset, name)}" for name in names if getattr(preset, name) != getattr(original, name)]


def from_json(values: Mapping) -> Preset:
    """Return the Preset that `dataclasses.asdict` and JSON made `values` from.

    Raises:
        ValueError: an unknown setting, no name, a value of the wrong type, or one that no run can use.
    """
    types = _types()
    unknown = sorted(set(values) - set(types))
    if unknown:
        raise ValueError(f"Unknown setting {unknown[0]!r}. Choose from: {', '.join(types)}.")
    if "name" not in values:
        raise ValueError(f"A preset needs the setting 'name'. Received: {', '.join(values) or 'no settings'}.")
    preset = Preset(**{name: _cast(name, value, types[name]) for name, value in values.items()})
    _check(preset)
    return preset


def _types():
    return typing.get_type_hints(Preset)


def _parse_override(text):
    name, equals, value = text.partition("=")
    types = _types()
    if not equals or name not in types or name == "name":
        choices = ", ".join(key for key in types if key != "name")
        raise ValueError(f"Unknown setting {text!r}. Write NAME=VALUE and choose from: {choices}.")
    if types[name] == tuple[int, int] and "x" in value:
        value = f"[{value.replace('x', ',')}]"
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = value
    return name, _cast(name, parsed, types[name])


def _cast(name, value, kind):
    """`value` as `kind`, or ValueError; lists become tuples, whole numbers may stand for floats."""
    if typing.get_origin(kind) is tuple:
        kinds = typing.get_args(kind)
        if isinstance(value, (list, tuple)):
            if kinds[-1] is Ellipsis:
                return tuple(_cast(name, item, kinds[0]) for item in value)
            if len(kinds) == len(value):
                return tuple(_cast(name, item, one) for item, one in zip(value, kinds, strict=True))
    elif kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif type(value) is kind:
        return value
    wanted = getattr(kind, "__name__", str(kind)) if typing.get_origin(kind) is None else str(kind)
    raise ValueError(f"Setting {name!r} needs {wanted}. Received: {value!r}.")


ZERO_ALLOWED = ("seed", "dropout", "warmup_epochs", "start_roughness", "clip_noise", "interval_floor")
ANY_NUMBER = ("forget_bias", "input_bias")
AT_MOST_1 = ("start_roughness", "interval_neighbours", "interval_floor")
BELOW_1 = ("dropout", "val_share")


def _check(preset: Preset) -> None:
    """Refuse values of the right type that no run can use."""
    for field in dataclasses.fields(preset):
        for number in _numbers(value := getattr(preset, field.name)):
            if problem := _problem(field.name, number):
                raise ValueError(f"Setting {field.name!r} must be {problem}. Received: {value!r}.")
        if value == ():
            raise ValueError(f"Setting {field.name!r} needs at least one value. Received: an empty list.")
    if preset.precision not in PRECISIONS:
        raise ValueError(f"Setting 'precision' must be one of {', '.join(PRECISIONS)}. Received: {preset.precision!r}.")
    if preset.svr_folds < 2:
        raise ValueError(f"Setting 'svr_folds' must be at least 2. Received: {preset.svr_folds}.")
    if preset.downscale and (preset.train_grid, preset.block_grid) != ((1, 1), (1, 1)):
        raise ValueError("A downscaled frame is one block: set train_grid=1x1 and block_grid=1x1 with downscale=true.")
    if preset.train_fraction + preset.val_fraction >= 1:
        raise ValueError(
            "Settings 'train_fraction' and 'val_fraction' must leave a part for test: their sum must be below 1. "
            f"Received: {preset.train_fraction:g} and {preset.val_fraction:g}."
        )
    if preset.svr_fit_on not in SVR_FIT_ON:
        raise ValueError(
            f"Setting 'svr_fit_on' must be one of {', '.join(SVR_FIT_ON)}. Received: {preset.svr_fit_on!r}."
        )
    sizes = {name: value for name, value in preset.network.items() if name != "dropout"}
    network_sizes.check_network(**sizes)
    network_sizes.check_grid(num_groups=preset.train_groups, block_grid=preset.train_grid)
    network_sizes.check_grid(num_groups=preset.num_groups, block_grid=preset.block_grid)


def _problem(name, number):
    """What a number must be and is not, or None."""
    if not math.isfinite(number):
        return "a finite number"
    if name not in ANY_NUMBER and number < 0:
        return "zero or more" if name in ZERO_ALLOWED else "above zero"
    if name not in ANY_NUMBER + ZERO_ALLOWED and number == 0:
        return "above zero"
    if name in BELOW_1 and number >= 1:
        return "below 1"
    return "at most 1" if name in AT_MOST_1 and number > 1 else None


def _check_synthetic(preset: Preset) -> None:
    """Refuse clips that are longer than the synthetic videos."""
    if preset.synthetic_frames < preset.clip_frames:
        raise ValueError(
            f"One clip needs {preset.clip_frames} frames, the synthetic videos would have {preset.synthetic_frames}. "
            "Use a larger synthetic_frames or a smaller clip_frames."
        )


def _numbers(value) -> Iterator[float]:
    """Yield every number of a setting; true and false are none."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _numbers(item)
