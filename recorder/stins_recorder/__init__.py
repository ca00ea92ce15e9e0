"""The recorder: a STINS stream in, NeXus/HDF5 files out. Standalone: no ophyd, no bluesky, no tango."""
