"""Prepare a database: label files and videos to a manifest and clip shards. Never loads TensorFlow."""
