"""Free JSON content as HDF5: objects become groups, numbers and strings datasets, anything else JSON text."""

from collections.abc import Mapping
from typing import Any

import h5py
import msgspec
import numpy as np

__all__ = ["safe_name", "store_tree", "store_value"]

_LONGEST_NAME = 200


def store_tree(group: h5py.Group, tree: Mapping[str, Any]) -> None:
    """Stores a mapping below `group`; nothing of it is dropped.

    A `/` or a leading dot in a key becomes `_`, a long key is cut (the key itself stands in the attribute `key`);
    what HDF5 has no type for (null, mixed lists, integers beyond 64 bits) is kept as JSON text with the attribute
    `encoding` = "json".
    """
    for key, value in tree.items():
        name = _free_name(group, key)
        if isinstance(value, Mapping) and value:
            child = group.create_group(name)
            child.attrs["NX_class"] = "NXcollection"
            store_tree(child, value)
        else:
            child = store_value(group, name, value)
        if name != key:
            child.attrs["key"] = key.replace("\0", "\\0")


def safe_name(key: str) -> str:
    """The key as one step of an HDF5 path."""
    name = key.replace("/", "_").replace("\0", "_").strip()[:_LONGEST_NAME] or "_"
    return "_" + name[1:] if name.startswith(".") else name


def _free_name(group: h5py.Group, key: str) -> str:
    name = safe_name(key)
    while name in group:
        name += "_"
    return name


def store_value(group: h5py.Group, name: str, value: Any) -> h5py.Dataset:
    """Stores one value under a free name, as JSON text where HDF5 has no type for it."""
    array = None if isinstance(value, str | bool) else _numbers(value)
    if array is not None:
        return group.create_dataset(name, data=array)
    if isinstance(value, bool) or (isinstance(value, str) and "\0" not in value):
        return group.create_dataset(name, data=value)
    dataset = group.create_dataset(name, data=msgspec.json.encode(value).decode())
    dataset.attrs["encoding"] = "json"
    return dataset


def _numbers(value: Any) -> "np.ndarray[Any, Any] | None":
    """The value as an array of one number type, if that keeps every digit."""
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):
        return None
    if array.dtype.kind not in "iufb" or array.size == 0:
        return None
    kinds = {type(item) for item in _leaves(value)}
    exact = len(kinds) == 1 and not (kinds == {int} and array.dtype.kind == "f")
    return array if exact else None


def _leaves(value: Any) -> list[Any]:
    return [leaf for item in value for leaf in _leaves(item)] if isinstance(value, list | tuple) else [value]
