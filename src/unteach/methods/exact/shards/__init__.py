"""Training in shards and slices, so that taking a record out is an incremental build."""
