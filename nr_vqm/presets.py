"""Named settings. Commands know a Preset; library functions take plain keyword arguments."""

import dataclasses
import json
import typing


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
    downscale: bool = False  # the ablation: every picture resized to one clip, so grids of 1x1; decision 0002
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
    # the split, by content
    train_fraction: float = 0.6
    val_fraction: float = 0.2
    # the LSTM head; decision 0005
    lstm_units: int = 32  # paper, section 3
    head_fc_dim: int = 16
    head_epochs: int = 60
    head_patience: int = 60
    head_batch_size: int = 32
    head_learning_rate: float = 2e-3
    # the synthetic database; decision 0003
    synthetic_videos: int = 1400
    synthetic_frames: int = 48
    synthetic_size: tuple[int, int] = (128, 192)  # height, width
    seed: int = 1

    @property
    def block_stride(self):
        """Block corners are multiples of this: the product of the poolings."""
        return 2 ** len(self.convs)

    @property
    def network(self):
        """What `cnn3d.build_cnn3d` takes, but dtype."""
        return self._of("clip_frames", "clip_size", "convs", "fc_dims", "dropout")

    @property
    def training_clips(self):
        """What `clips.plan_grid` takes for the clips that the 3D-CNN is trained on, but the trunk's stride."""
        grid = {"num_groups": self.train_groups, "block_grid": self.train_grid}
        return self._of("clip_frames", "clip_size", "downscale") | grid

    @property
    def head_clips(self):
        """The same for the clips that the heads read."""
        return self._of("clip_frames", "clip_size", "downscale", "num_groups", "block_grid")

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


def get_preset(name, *, database=None, overrides=()):
    """A preset by name, with some settings changed.

    Args:
        name: a key of PRESETS.
        database: changes what FOR_DATABASE has for it; None is none in particular.
        overrides: strings 'setting=value'; a value is JSON, or for a grid '2x4'.

    Raises:
        ValueError: an unknown name, or a value of the wrong type.
    """
    if name not in PRESETS:
        raise ValueError(f"Unknown preset {name!r}. Choose from: {', '.join(PRESETS)}.")
    overridden = dict(_parse_override(text) for text in overrides)
    return changed(PRESETS[name], **FOR_DATABASE.get((name, database), {}) | overridden)


def changed(preset, **changes):
    """The preset with some settings changed; ValueError where no run can use them."""
    preset = dataclasses.replace(preset, **changes)
    _check(preset)
    return preset


def differences(preset):
    """What a preset changes of the one it is named after, as 'setting=value' strings; the seed is no difference."""
    original = PRESETS[preset.name]
    names = [field.name for field in dataclasses.fields(preset) if field.name != "seed"]
    return [f"{name}={getattr(preset, name)}" for name in names if getattr(preset, name) != getattr(original, name)]


def from_json(values):
    """The Preset that `dataclasses.asdict` and JSON made `values` from; unknown names are refused."""
    types = _types()
    unknown = sorted(set(values) - set(types))
    if unknown:
        raise ValueError(f"Unknown setting {unknown[0]!r}. Choose from: {', '.join(types)}.")
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


def _check(preset):
    """Refuse values of the right type that no run can use."""
    for field in dataclasses.fields(preset):
        value = getattr(preset, field.name)
        zero_allowed = field.name in ("seed", "dropout", "warmup_epochs", "downscale")
        for number in _numbers(value):
            if not number == number or number < 0 or (number == 0 and not zero_allowed):
                raise ValueError(f"Setting {field.name!r} must be above zero. Received: {value!r}.")
    if preset.downscale and (preset.train_grid, preset.block_grid) != ((1, 1), (1, 1)):
        raise ValueError(
            "A downscaled picture is one block: set train_grid=1x1 and block_grid=1x1 with downscale=true."
        )
    if preset.train_fraction + preset.val_fraction >= 1:
        raise ValueError(
            "Settings 'train_fraction' and 'val_fraction' must leave a part for test: their sum must be below 1."
        )
    if preset.dropout >= 1:
        raise ValueError(f"Setting 'dropout' must be below 1. Received: {preset.dropout!r}.")


def _numbers(value):
    if isinstance(value, (int, float)):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _numbers(item)
