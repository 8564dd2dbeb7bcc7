"""Colour maps of a frame, identical to those of the MATLAB functions that FRIQUEE calls.

Sources: ITU-R BT.601 (limited range); the sRGB curve of IEC 61966-2-1; LMS of CIECAM02's CAT02; hue and saturation of
HSL; CIE L*a*b* with Bradford adaptation. Unusual constants (1.057, tables of 16-bit numbers) were determined by
reproducing the published values of the authors' release.
"""

import functools

import numpy as np

from nr_vqm.handcrafted import bicubic, natural_scene

GRAY_WEIGHTS = (0.298936021293775, 0.587043074451121, 0.114020904255103)
_XYZ_TO_RGB = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.057]])
_XYZ_TO_LMS = np.array([[0.7328, 0.4296, -0.1624], [-0.7036, 1.6975, 0.0061], [0.0030, 0.0136, 0.9834]])
_RGB_TO_LMS = _XYZ_TO_LMS @ np.linalg.inv(_XYZ_TO_RGB)
_RGB_TO_XYZ_D50 = np.array([[28578, 25241, 9376], [14581, 46981, 3972], [912, 6362, 46799]]) / 65536
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50, _D65 = np.array([0.9642, 1, 0.8251]), np.array([0.9504, 1, 1.0889])
_YCBCR_TO_RGB = np.linalg.inv([[65.481, 128.553, 24.966], [-37.797, -74.203, 112], [112, -93.786, -18.214]])
_SRGB_WHITE = np.array([0.95047, 1, 1.08883])  # D65
_PRIMARIES = np.array([[0.64 / 0.33, 0.3 / 0.6, 0.15 / 0.06], [1, 1, 1], [0.03 / 0.33, 0.1 / 0.6, 0.79 / 0.06]])
_SRGB_TO_XYZ = _PRIMARIES * np.linalg.solve(_PRIMARIES, _SRGB_WHITE)
CHROMA_BLUR = natural_scene.gaussian_window(3, 3)


def rgb_for_friquee(y: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Convert the planes of a 4:2:0 frame to RGB with BT.601, limited range.

    The range and matrix that the file declares are ignored, as in the source.

    Args:
        y: luma on the 8-bit scale (0-255), integer or fractional, shape (height, width).
        u: first chroma plane on the same scale, shape (ceil(height / 2), ceil(width / 2)).
        v: second chroma plane, as u.

    Returns:
        uint8 RGB, shape (height, width, 3).

    Source: vztu/BVQA_Benchmark, so that values can be compared with published ones.
    """
    y = 1.16438 * (y.astype(np.float64) - 16)
    u, v = (_round_to_uint8(bicubic.resize(plane, *y.shape)).astype(np.float64) - 128 for plane in (u, v))
    channels = y + 1.59603 * v, y - 0.39176 * u - 0.81297 * v, y + 2.01723 * u
    return np.stack([_round_to_uint8(channel) for channel in channels], axis=-1)


def rgb_of_ycbcr(y: np.ndarray, cb: np.ndarray, cr: np.ndarray) -> np.ndarray:
    """Convert planes by the exact inverse of BT.601, limited range, as MATLAB's ycbcr2rgb.

    Args:
        y, cb, cr: 0-255, all of the same shape (height, width).

    Returns:
        float64, shape (height, width, 3), 0-1: not rounded, but clipped.
    """
    planes = y - np.float64(16), cb - np.float64(128), cr - np.float64(128)
    channels = [sum(weight * plane for weight, plane in zip(row, planes, strict=True)) for row in _YCBCR_TO_RGB]
    return np.moveaxis(np.clip(channels, 0, 1), 0, -1)  # each channel contiguous, for what follows


def lab_of_rgb(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """CIE L*a*b* of sRGB relative to its white point D65, as MATLAB's rgb2lab.

    Args:
        rgb: float64, shape (height, width, 3), 0-1.

    Returns:
        L*, a*, b*, each float64 of shape (height, width).
    """
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = (
        _lab_curve(sum(weight * linear[..., channel] for channel, weight in enumerate(row)) / white)
        for row, white in zip(_SRGB_TO_XYZ, _SRGB_WHITE, strict=True)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def gray(rgb: np.ndarray) -> np.ndarray:
    """Compute grey levels.

    Args:
        rgb: uint8 RGB, shape (height, width, 3).

    Returns:
        float64, shape (height, width), integers 0-255.
    """
    red, green, blue = (weight * np.arange(256) for weight in GRAY_WEIGHTS)
    return np.floor(red[rgb[..., 0]] + green[rgb[..., 1]] + blue[rgb[..., 2]] + 0.5)


def lms(rgb: np.ndarray) -> list[np.ndarray]:
    """Compute the responses of the long, medium and short cones.

    Args:
        rgb: uint8 RGB, shape (height, width, 3).

    Returns:
        Three float64 arrays, shape (height, width), about 0-1.
    """
    return [cone(rgb, number) for number in range(3)]


def cone(rgb: np.ndarray, number: int) -> np.ndarray:
    """Compute one response of `lms`: number 0, 1 or 2, the long, medium and short cones."""
    linear = _linear(np.arange(256) / 255)
    channels = (np.ascontiguousarray(rgb[..., channel]) for channel in range(3))
    return sum((weight * linear)[channel] for weight, channel in zip(_RGB_TO_LMS[number], channels, strict=True))


def hue_and_saturation(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute hue and saturation of the HSL colour space.

    Args:
        rgb: uint8 RGB, shape (height, width, 3).

    Returns:
        Hue in degrees (0-360) and saturation (0-1), both float64, shape (height, width).
    """
    red, green, blue = (rgb[..., channel].astype(np.float64) for channel in range(3))
    highest, lowest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    spread = np.maximum(highest - lowest, 1)
    # Of equal maxima the later one in the order red, green, blue counts.
    hue = np.where(highest == green, 2 + (blue - red) / spread, (green - blue) / spread)
    hue = 60 * np.where(highest == blue, 4 + (red - green) / spread, hue)
    hue[hue < 0] += 360
    lightness = (highest + lowest) / 2
    room = np.minimum(lightness, 255 - lightness)
    saturation = np.divide((highest - lowest) / 2, room, out=np.zeros_like(room), where=room > 0)
    return hue, saturation


def chroma(rgb: np.ndarray) -> np.ndarray:
    """Compute the chroma sqrt(a^2 + b^2) of the slightly blurred frame.

    a and b are those of CIE L*a*b*, offset by 128 and rounded to integers 0-255.

    Args:
        rgb: uint8 RGB, shape (height, width, 3).

    Returns:
        float64, shape (height, width), 0-361; neutral grey is sqrt(2) 128 = 181.
    """
    blurred = np.stack([_round_to_uint8(_blur(rgb[..., channel])) for channel in range(3)], axis=-1)
    adapt = np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ _D65 / (_BRADFORD @ _D50)) @ _BRADFORD
    return _whole_chroma(blurred, adapt @ _RGB_TO_XYZ_D50, _D65)


def sharp_chroma(rgb: np.ndarray) -> np.ndarray:
    """Chroma as `chroma`, but without blur and relative to the white point D50, as VIDEVAL computes it."""
    return _whole_chroma(rgb, _RGB_TO_XYZ_D50, _D50)


def _whole_chroma(rgb: np.ndarray, to_xyz: np.ndarray, white_point: np.ndarray) -> np.ndarray:
    """Compute sqrt(a^2 + b^2) of uint8 RGB, with a and b offset by 128 and rounded to integers 0-255."""
    channels = [np.ascontiguousarray(rgb[..., channel]) for channel in range(3)]
    x, y, z = (
        _lab_curve(
            sum((weight * _linear_table())[channel] for weight, channel in zip(row, channels, strict=True)) / white
        )
        for row, white in zip(to_xyz, white_point, strict=True)
    )
    a, b = (np.clip(np.floor(_to_256ths(value + 128) + 0.5), 0, 255) for value in (500 * (x - y), 200 * (y - z)))
    return np.sqrt(a * a + b * b)


def yellow(rgb: np.ndarray) -> np.ndarray:
    """Compute the yellow-blue contrast min(red, green) - blue.

    Args:
        rgb: uint8 RGB, shape (height, width, 3).

    Returns:
        float64, shape (height, width), -255 to 255.
    """
    return np.minimum(rgb[..., 0], rgb[..., 1]).astype(np.float64) - rgb[..., 2]


def _linear(value: np.ndarray) -> np.ndarray:
    """Linearise sRGB values 0-1, with the threshold of MATLAB's makecform."""
    return np.where(value <= 0.0404482362771076, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


@functools.cache
def _linear_table() -> np.ndarray:
    """Return the linear value of each 8-bit level, interpolated in a colour profile's table of 1024 16-bit numbers."""
    positions = np.linspace(0, 1, 1024)
    curve = np.where(positions <= 0.04045, positions / 12.92, ((positions + 0.055) / 1.055) ** 2.4)
    return np.interp(np.arange(256) / 255, positions, np.floor(65535 * curve + 0.5) / 65535)


def _blur(channel: np.ndarray) -> np.ndarray:
    return natural_scene.separable_filter(channel, CHROMA_BLUR, border="nearest")


def _lab_curve(value: np.ndarray) -> np.ndarray:
    """Evaluate the nonlinearity of CIE L*a*b*: the cube root, linear near zero."""
    return np.where(value > (6 / 29) ** 3, np.cbrt(value), value * 841 / 108 + 4 / 29)


def _to_256ths(value: np.ndarray) -> np.ndarray:
    return np.floor(256 * value + 0.5) / 256


def _round_to_uint8(value: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(value + 0.5), 0, 255).astype(np.uint8)
