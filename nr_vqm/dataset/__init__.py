"""Read and write a database: manifest, clip shards, batches, splits, label tables."""
