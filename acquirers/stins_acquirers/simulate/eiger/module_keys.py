"""The keys of `config` of the modules beside the detector."""

from collections.abc import Iterator

from .keys import Key

__all__ = ["filewriter_keys", "monitor_keys", "stream_keys"]

_MODE = Key(name="mode", value="disabled", value_type="string", allowed=("disabled", "enabled"))


def stream_keys(api: str) -> Iterator[Key]:
    """The stream: v2 and with it `format` came with 1.8; its user data may be any JSON."""
    yield _MODE
    yield Key(name="header_detail", value="basic", value_type="string", allowed=("all", "basic", "none"))
    appendix = "string" if api == "1.6.0" else "any"
    yield Key(name="header_appendix", value="", value_type=appendix)
    yield Key(name="image_appendix", value="", value_type=appendix)
    if api != "1.6.0":
        yield Key(name="format", value="legacy", value_type="string", allowed=("cbor", "legacy"))


def monitor_keys() -> Iterator[Key]:
    """The monitor, which keeps some images for a look."""
    yield _MODE
    yield Key(name="buffer_size", value=1, value_type="uint", minimum=1, maximum=1000)
    yield Key(name="discard_new", value=False, value_type="bool")


def filewriter_keys() -> Iterator[Key]:
    """The file writer; this one takes its settings and writes nothing."""
    formats = ("hdf5 nexus legacy nxmx", "hdf5 nexus v2024.2 nxmx")
    yield Key(name="mode", value="disabled", value_type="string", allowed=("disabled", "enabled"))
    yield Key(name="format", value=formats[0], value_type="string", allowed=formats)
    yield Key(name="nimages_per_file", value=1000, value_type="uint")
    yield Key(name="name_pattern", value="series_$id", value_type="string")
    yield Key(name="image_nr_start", value=1, value_type="uint")
    yield Key(name="compression_enabled", value=True, value_type="bool")
