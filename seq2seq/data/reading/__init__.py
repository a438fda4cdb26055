"""Reading: files, TSV, JSON Lines, Parquet and the hub become pairs of texts."""
