"""Hand-crafted video quality features: BRISQUE, NIQE, FRIQUEE, V-CORNIA, V-BLIINDS, VIDEVAL and frame statistics.

Each method is a module with the same functions:

- `features(...)` computes the features of one frame; V-BLIINDS and VIDEVAL take all frames of a video.
- `video_features(path, *, raw=None)` computes the features of a video file.
- `feature_names()` returns the names of the features, in order.

Exceptions: CORNIA's functions also take a codebook, and a seed (`features`) or a video identifier (`video_features`);
its `feature_names` takes the number of words. GM-LOG, HIGRADE and TLVQM are parts of VIDEVAL and have no
`video_features`. FRIQUEE takes RGB, VIDEVAL and the frame statistics take all planes, the other methods luma.

FRIQUEE and V-BLIINDS need SciPy, and learning a codebook needs scikit-learn; everything else needs NumPy and OpenCV.
The package never imports TensorFlow.
"""
