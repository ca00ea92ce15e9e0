"""Free JSON content in a file: nothing of it is dropped."""

import json
from typing import Any

import h5py
from hypothesis import given
from hypothesis import strategies as st
from stins_recorder.nexus.tree import store_tree

KEYS = st.text(max_size=6) | st.sampled_from(["a/b", ".", "..", ".x", " ", "a ", "\0", "x" * 300, "k" * 70_000])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
CONTENT = st.dictionaries(
    KEYS,
    st.recursive(LEAVES, lambda c: st.lists(c, max_size=4) | st.dictionaries(KEYS, c, max_size=4), max_leaves=12),
    max_size=5,
)


def read_tree(group: h5py.Group) -> dict[str, Any]:
    """The mapping that `store_tree` stored."""
    return {node.attrs.get("key", name): read_value(node) for name, node in group.items()}


def read_value(node: h5py.Group | h5py.Dataset) -> Any:
    if isinstance(node, h5py.Group):
        return read_tree(node)
    value = node.asstr()[()] if node.dtype.kind == "O" else node[()]
    if node.attrs.get("encoding") == "json":
        return json.loads(value)
    return value.tolist() if hasattr(value, "tolist") else value


def same(stored: Any, given_: Any) -> bool:
    """Equal, number types included, except that HDF5 has no NUL in an attribute."""
    return json.dumps(stored, sort_keys=True) == json.dumps(given_, sort_keys=True)


def readable_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key.replace("\0", "\\0"): readable_keys(item) for key, item in value.items()}
    return value


@given(CONTENT)
def test_what_is_stored_reads_back_as_it_was(content: dict[str, Any]) -> None:
    with h5py.File.in_memory(libver=("v110", "v110")) as file:
        store_tree(file, content)
        assert same(read_tree(file), readable_keys(content))


def test_each_kind_of_value_survives() -> None:
    values = [
        None, [], {}, [1, None], [1, 2.5], [True, 1], 2**70, [2**63, -1], [[1, 2], [3]], ["a", "b"], "nul\0", -(2**63),
        2**64 - 1, [2**64 - 1], 0.1, [[1, 2], [3, 4]], True, [True, False], "é€𝄞", [{"a": 1}, {"a": {"b": None}}],
    ]  # fmt: skip
    content = {str(index): value for index, value in enumerate(values)}
    with h5py.File.in_memory() as file:
        store_tree(file, content)
        assert same(read_tree(file), content)


def test_keys_that_would_collide_are_kept_apart() -> None:
    content = {"a/b": 1, "a_b": 2, "a_b_": 3, ".x": 4, "_x": 5, "": 6, "_": 7}
    with h5py.File.in_memory() as file:
        store_tree(file, content)
        assert read_tree(file) == content


def test_numbers_become_datasets_of_their_own_type() -> None:
    with h5py.File.in_memory() as file:
        store_tree(file, {"motor": {"x": 1.5, "n": 3, "list": [1, 2, 3]}})
        assert file["motor"].attrs["NX_class"] == "NXcollection"
        assert {name: d.dtype.kind for name, d in file["motor"].items()} == {"x": "f", "n": "i", "list": "i"}
