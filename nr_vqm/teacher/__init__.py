"""The teacher: a regression from hand-crafted features to people's MOS. Decision 0018.

It is fitted on published feature rows of three databases with subjective scores, scores any video with an interval, and
gives the pseudo-labels of videos without subjective scores. NumPy and h5py only; scikit-learn to fit it.
"""
