"""The 3D-CNN, and its two parts: the convolutional trunk and the fully connected layers."""

import math

import keras
from keras import layers, ops

from nr_vqm.models import network_sizes


def build_cnn3d(
    *,
    clip_frames: int,
    clip_size: int,
    convs: network_sizes.Convs,
    fc_dims: tuple[int, ...],
    dropout: float,
    dtype: str,
) -> keras.Model:
    """Build the 3D-CNN, which predicts the quality of one clip.

    Args:
        clip_frames: clip length in frames.
        clip_size: clip height and width in pixels.
        convs: (filters, kernel, repeats) of each stage; a max pooling of (1, 2, 2) follows each.
        fc_dims: widths of the fully connected layers; the outputs of the last one are the features.
        dropout: rate after each fully connected layer, in [0, 1).
        dtype: a Keras dtype policy, 'float32' or 'mixed_bfloat16'.

    Returns:
        uint8 RGB (batch, clip_frames, clip_size, clip_size, 3) -> clip quality, float32 (batch, 1), on 1-5.

    Raises:
        ValueError: no network can be built with these sizes; see `network_sizes.check_network`.

    Source: ICIP 2019, section 2. Padding, pixel scaling and output scaling: decision 0001.
    """
    network_sizes.check_network(clip_frames=clip_frames, clip_size=clip_size, convs=convs, fc_dims=fc_dims)
    inputs = keras.Input((clip_frames, clip_size, clip_size, 3), dtype="uint8", name="clip")
    x = add_trunk(inputs, convs, dtype=dtype)
    x = layers.Flatten(dtype=dtype, name="flatten")(x)
    for number, width in enumerate(fc_dims, start=1):
        x = layers.Dense(width, activation="relu", dtype=dtype, name=f"fc{number}")(x)
        x = layers.Dropout(dropout, dtype=dtype, name=f"dropout{number}")(x)
    x = layers.Dense(1, dtype="float32", name="output")(x)
    # Start in the middle of the scale; otherwise the first steps only learn the mean.
    quality = layers.Rescaling(1.0, offset=3.0, dtype="float32", name="clip_quality")(x)
    return keras.Model(inputs, quality, name="cnn3d")


def add_trunk(pixels: keras.KerasTensor, convs: network_sizes.Convs, *, dtype: str) -> keras.KerasTensor:
    """Add the layers from the pixel scaling to the last pooling.

    Args:
        pixels: uint8 RGB (batch, frames, rows, columns, 3).
        convs: as in `build_cnn3d`.
        dtype: as in `build_cnn3d`.

    Returns:
        The trunk output (batch, frames, rows, columns, filters).
    """
    # Exact in bfloat16, whose eight bits would round other scalings by half a grey level.
    x = layers.Rescaling(1 / 64, offset=-2, dtype=dtype, name="scale")(pixels)
    for number, (width, kernel, repeats) in enumerate(convs, start=1):
        for letter in network_sizes.LETTERS[:repeats]:
            x = layers.Conv3D(width, kernel, activation="relu", dtype=dtype, name=f"conv{number}{letter}")(x)
        x = layers.MaxPooling3D((1, 2, 2), dtype=dtype, name=f"pool{number}")(x)
    return x


def trunk_layers(cnn3d: keras.Model) -> list[keras.Layer]:
    """Return the layers from the pixel scaling to the last pooling, in order."""
    names = [layer.name for layer in cnn3d.layers]
    return cnn3d.layers[1 : names.index("flatten")]


def convs(cnn3d: keras.Model) -> network_sizes.Convs:
    """Return the argument `convs` with which a 3D-CNN was built."""
    stages: list[tuple[int, int, int]] = []
    current: list[keras.Layer] = []
    for layer in trunk_layers(cnn3d):
        if isinstance(layer, layers.Conv3D):
            current.append(layer)
        elif isinstance(layer, layers.MaxPooling3D):
            stages.append((current[0].filters, current[0].kernel_size[0], len(current)))
            current = []
    return tuple(stages)


def clip_multiply_adds(cnn3d: keras.Model) -> tuple[int, int]:
    """Count the multiply-adds of the 3D-CNN for one clip: (trunk, fully connected layers)."""
    trunk = fully_connected = 0
    for layer in cnn3d.layers:
        if isinstance(layer, layers.Conv3D):
            trunk += math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:4])
        elif isinstance(layer, layers.Dense):
            fully_connected += math.prod(layer.kernel.shape)
    return trunk, fully_connected


def streaming_trunk(cnn3d: keras.Model) -> keras.Model:
    """Build a model that runs the trunk over the next frames of a video; it shares the weights.

    A convolution over several frames also needs the last input frames of the previous call: its state.

    Returns:
        [pixels, state of each temporal convolution] -> [trunk output, the new states], all of shape
        (batch, frames, rows, columns, channels) with any sizes; the initial states have zero frames.
    """
    pixels = x = keras.Input((None, None, None, 3), dtype="uint8", name="pixels")
    states, new_states = [], []
    for layer in trunk_layers(cnn3d):
        if is_temporal(layer):
            state = keras.Input((None, None, None, x.shape[-1]), dtype=layer.compute_dtype, name=f"{layer.name}_state")
            x = ops.concatenate([state, x], axis=1)
            states.append(state)
            new_states.append(x[:, 1 - layer.kernel_size[0] :])
        x = layer(x)
    return keras.Model([pixels, *states], [x, *new_states], name="cnn3d_trunk")


def is_temporal(layer: keras.Layer) -> bool:
    """Return whether a layer is a convolution over several frames."""
    return isinstance(layer, layers.Conv3D) and layer.kernel_size[0] > 1


def fully_connected_part(cnn3d: keras.Model) -> keras.Model:
    """Build a model of the layers after the trunk; it shares the weights.

    Returns:
        flattened trunk output (batch, n) -> [features (batch, fc_dims[-1]), clip quality (batch, 1)].
    """
    flatten = cnn3d.get_layer("flatten")
    inputs = keras.Input(flatten.output.shape[1:], dtype=flatten.compute_dtype, name="trunk")
    x = inputs
    for layer in cnn3d.layers[cnn3d.layers.index(flatten) + 1 :]:
        x = layer(x)
        if layer.name.startswith("fc"):
            features = x  # the last fully connected layer wins
    return keras.Model(inputs, [features, x], name="cnn3d_head")


def with_dtype(cnn3d: keras.Model, dtype: str) -> keras.Model:
    """Convert a 3D-CNN to another precision, with the same weights.

    Saved networks are float32 whatever precision they were trained in; the machine that runs one chooses its own.

    Args:
        cnn3d: of `build_cnn3d`.
        dtype: a Keras dtype policy, 'float32' or 'mixed_bfloat16'.

    Returns:
        A new model, or `cnn3d` itself where it has this precision already.
    """
    if cnn3d.get_layer("flatten").dtype_policy.name == dtype:
        return cnn3d

    def rebuild(layer: keras.Layer) -> keras.Layer:
        policy = "float32" if layer.name in ("output", "clip_quality") else dtype
        return layer.__class__.from_config({**layer.get_config(), "dtype": policy})

    converted = keras.models.clone_model(cnn3d, clone_function=rebuild)
    converted.set_weights(cnn3d.get_weights())
    return converted
