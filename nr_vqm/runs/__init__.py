"""The files of a run: models, features, heads, results, and the records of its stages."""
