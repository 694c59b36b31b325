"""Data, caches and recipes of the tasks: what a loaded checkpoint does not need."""
