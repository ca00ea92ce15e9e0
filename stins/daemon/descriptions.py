"""What the fields of a configuration mean: the text below each of them in its class.

pydantic would read it when the class is made, by parsing the source of each: a fifth of what loading an acquirer's
configuration takes, and only `--help` and `--describe` show it.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise

from pydantic import BaseModel

__all__ = ["descriptions"]


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Each field's description; a field has none where neither its class nor `Field(description=...)` has a text."""
    texts: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, BaseModel) and each.__module__.partition(".")[0] != "pydantic":
            texts.update(_below_fields(each))
    own = {name: field.description for name, field in model.model_fields.items()}
    return {name: text for name in own if (text := own[name] or texts.get(name))}


def _below_fields(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    # A class that was made at a prompt, or by a call, has no source; one in a function, with text that begins in the
    # first column, none that can be read by itself.
    except (OSError, TypeError, ValueError, SyntaxError):
        return
    for field, text in pairwise(getattr(tree, "body", ())):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                yield name, inspect.cleandoc(said)
