"""Detection on any number of photos, in shards: each becomes one Parquet file, and a restart does those that lack."""
