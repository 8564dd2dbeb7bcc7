"""Hand-crafted video quality features: BRISQUE, NIQE, FRIQUEE, V-CORNIA, V-BLIINDS and VIDEVAL.

Each method has its module: a function from a luma plane or a frame to a vector, a function from a video file to a
vector, and `feature_names()`. Only numpy, scipy and OpenCV are needed; nothing here imports TensorFlow.
"""
