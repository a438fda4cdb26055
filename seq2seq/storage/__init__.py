"""Files on disk: whole or not there, with checksums, under names that stand in one place."""
