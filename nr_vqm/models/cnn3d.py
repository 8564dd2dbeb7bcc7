"""The 3D-CNN, and its two halves: the convolution trunk and the layers after it."""

import keras
from keras import layers, ops

from nr_vqm.models import network_sizes


def build_cnn3d(*, clip_frames, clip_size, convs, fc_dims, dropout, dtype):
    """The network of one clip.

    Args:
        clip_frames, clip_size: clip length in frames, height and width in pixels.
        convs: (filters, kernel, repeats) for each stage; a max pooling of (1, 2, 2) follows each.
        fc_dims: widths of the fully connected layers; the last one's outputs are the features.
        dropout: after each fully connected layer, in [0, 1).
        dtype: a Keras dtype policy, 'float32' or 'mixed_bfloat16'.

    Returns:
        keras.Model: uint8 RGB (batch, clip_frames, clip_size, clip_size, 3) -> clip quality, float32 (batch, 1) on 1-5.

    Raises:
        ValueError: sizes of which no network can be built; `network_sizes.check_network`.

    Source: ICIP 2019, section 2. Padding, pixel scaling and output scaling: decision 0001.
    """
    network_sizes.check_network(clip_frames=clip_frames, clip_size=clip_size, convs=convs, fc_dims=fc_dims)
    inputs = keras.Input((clip_frames, clip_size, clip_size, 3), dtype="uint8", name="clip")
    # Exact in bfloat16, whose eight bits would round other scalings by half a grey level.
    x = layers.Rescaling(1 / 64, offset=-2, dtype=dtype, name="scale")(inputs)
    for number, (width, kernel, repeats) in enumerate(convs, start=1):
        for letter in network_sizes.LETTERS[:repeats]:
            x = layers.Conv3D(width, kernel, activation="relu", dtype=dtype, name=f"conv{number}{letter}")(x)
        x = layers.MaxPooling3D((1, 2, 2), dtype=dtype, name=f"pool{number}")(x)
    x = layers.Flatten(dtype=dtype, name="flatten")(x)
    for number, width in enumerate(fc_dims, start=1):
        x = layers.Dense(width, activation="relu", dtype=dtype, name=f"fc{number}")(x)
        x = layers.Dropout(dropout, dtype=dtype, name=f"dropout{number}")(x)
    x = layers.Dense(1, dtype="float32", name="output")(x)
    # Starts in the middle of the scale; without it the first steps only learn the mean.
    quality = layers.Rescaling(1.0, offset=3.0, dtype="float32", name="clip_quality")(x)
    return keras.Model(inputs, quality, name="cnn3d")


def trunk_layers(cnn3d):
    """The layers from the pixels to the last pooling, in order."""
    names = [layer.name for layer in cnn3d.layers]
    return cnn3d.layers[1 : names.index("flatten")]


def chunk_view(cnn3d):
    """The trunk over the next frames of a video as a model of its own, sharing the weights.

    A convolution over several frames needs the last frames of its input from before: its state.

    Returns:
        keras.Model: [pixels, state of each such convolution] -> [trunk output, the states after]; all of shape
        (batch, frames, rows, columns, channels) with any sizes; a state begins with zero frames.
    """
    pixels = x = keras.Input((None, None, None, 3), dtype="uint8", name="pixels")
    before, after = [], []
    for layer in trunk_layers(cnn3d):
        if keeps_frames(layer):
            state = keras.Input((None, None, None, x.shape[-1]), dtype=layer.compute_dtype, name=f"{layer.name}_state")
            x = ops.concatenate([state, x], axis=1)
            before.append(state)
            after.append(x[:, 1 - layer.kernel_size[0] :])
        x = layer(x)
    return keras.Model([pixels, *before], [x, *after], name="cnn3d_trunk")


def keeps_frames(layer):
    """Whether a layer reads several frames."""
    return isinstance(layer, layers.Conv3D) and layer.kernel_size[0] > 1


def head_view(cnn3d):
    """The layers after the trunk as a model of their own, sharing the weights.

    Returns:
        keras.Model: flattened trunk output (batch, n) -> [features (batch, fc_dims[-1]), clip quality (batch, 1)].
    """
    flatten = cnn3d.get_layer("flatten")
    inputs = keras.Input(flatten.output.shape[1:], dtype=flatten.compute_dtype, name="trunk")
    x = inputs
    for layer in cnn3d.layers[cnn3d.layers.index(flatten) + 1 :]:
        x = layer(x)
        if layer.name.startswith("fc"):
            features = x  # of the last one
    return keras.Model(inputs, [features, x], name="cnn3d_head")


def with_dtype(cnn3d, dtype):
    """The same network and weights computing in another precision.

    A saved file is float32, so that it says nothing about the machine that trained it; the machine that
    runs it chooses.
    """
    if cnn3d.get_layer("flatten").dtype_policy.name == dtype:
        return cnn3d

    def rebuild(layer):
        policy = "float32" if layer.name in ("output", "clip_quality") else dtype
        return layer.__class__.from_config({**layer.get_config(), "dtype": policy})

    twin = keras.models.clone_model(cnn3d, clone_function=rebuild)
    twin.set_weights(cnn3d.get_weights())
    return twin
