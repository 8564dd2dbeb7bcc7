"""The 3D-CNN, its shared trunk, and the LSTM and SVR heads."""
