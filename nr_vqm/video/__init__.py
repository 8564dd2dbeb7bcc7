"""Read videos: decoding in a separate process, raw files, and the positions of clips."""
