"""What pulumi-aws itself knows of its resources and look-ups: names, types, and values of enums.

The SDK's classes are made from the provider's schema and carry it: `Input` types for what goes in, properties for what
comes out.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi import _types as sdk


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _find(token: str) -> tuple[Any, str]:
    """The SDK's module that has what a token names, and the name."""
    _, module, name = token.split(":")
    package = module.partition("/")[0]
    return importlib.import_module("pulumi_aws" if package == "index" else f"pulumi_aws.{package}"), name


def problems_of_inputs(token: str, inputs: Mapping[str, Any]) -> list[str]:
    """What the schema has against the inputs of a resource, by the names that the engine uses."""
    module, name = _find(token)
    resource = getattr(module, name)
    assert resource.pulumi_type == token, f"the SDK has no {token}"
    return _object(getattr(module, f"{name}Args"), inputs, token)


def problems_of_outputs(token: str, names: list[str]) -> list[str]:
    """Which of these names are no outputs of a resource."""
    module, name = _find(token)
    known = set(sdk.resource_types(getattr(module, name)))
    return [f"{token} has no output {each}" for each in names if each not in known | {"id"}]


def problems_of_look_up(token: str, arguments: Mapping[str, Any], answers: list[str]) -> list[str]:
    """What the schema has against a look-up's arguments and the names of its answers."""
    module, name = _find(token)
    function = getattr(module, _snake(name))
    parameters = typing.get_type_hints(function, vars(inspect.getmodule(function)))
    result = parameters.pop("return")
    found = [f"{token} takes no {key}" for key in arguments if _snake(key) not in parameters]
    for key, value in arguments.items():
        if _snake(key) in parameters:
            found += _value(parameters[_snake(key)], value, f"{token} {key}")
    known = {each for each in vars(result) | vars(result.__mro__[1]) if not each.startswith("_")}
    return found + [f"{token} does not answer {each}" for each in answers if _snake(each) not in known]


def _object(kind: type, values: Mapping[str, Any], where: str) -> list[str]:
    names = {pulumi_name: name for name, pulumi_name in sdk.input_type_py_to_pulumi_names(kind).items()}
    hints = sdk.input_type_types(kind)
    found = [f"{where} has no property {key}" for key in values if key not in names]
    for key in values.keys() & names.keys():
        found += _value(hints[key], values[key], f"{where} {key}")
    required = inspect.signature(kind).parameters
    given = {names.get(key) for key in values}
    found += [f"{where} lacks {key}" for key, one in required.items() if one.default is one.empty and key not in given]
    return found


def _value(hint: Any, value: Any, where: str) -> list[str]:
    """What a type has against a value; a secret or a value that is not known yet is what it will be."""
    if value == pulumi.runtime.rpc.UNKNOWN or (
        isinstance(value, dict) and pulumi.runtime.rpc._special_sig_key in value
    ):
        return []
    choices = _choices(hint)
    # Where the schema names values, the SDK takes any text beside them.
    if isinstance(value, str) and (enums := [each for each in choices if _is_enum(each)]):
        choices = enums
    if any(not _against(choice, value, where) for choice in choices):
        return []
    return next((_against(choice, value, where) for choice in choices), [f"{where} is of no known type"])


def _is_enum(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, enum.Enum)


def _choices(hint: Any) -> list[Any]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [choice for each in typing.get_args(hint) if each is not type(None) for choice in _choices(each)]
    if typing.get_origin(hint) in (pulumi.Output,) or str(hint).startswith("typing.Awaitable"):
        return []
    return [hint]


def _against(hint: Any, value: Any, where: str) -> list[str]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(origin, type):
        if not isinstance(value, dict if issubclass(origin, Mapping) else list):
            return [f"{where} is {value!r}; the schema says {hint}"]
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        return [said for key, each in inner for said in _value(arguments[-1], each, f"{where} {key}")]
    if isinstance(hint, type) and sdk.is_input_type(hint):
        return _object(hint, value, where) if isinstance(value, dict) else [f"{where} is {value!r}, no object"]
    return [] if _fits(hint, value) else [f"{where} is {value!r}; the schema says {hint}"]


def _fits(hint: Any, value: Any) -> bool:
    """Whether a plain value is of a plain type; whole numbers may have travelled as floating ones."""
    if _is_enum(hint):
        return value in [each.value for each in hint]
    if hint in (int, float):
        return isinstance(value, int | float) and not isinstance(value, bool) and (hint is float or value % 1 == 0)
    return isinstance(hint, type) and isinstance(value, hint)
