"""The libraries that read definitions; they come with `pip install durabus[definitions]` and are imported when they are used."""

from importlib import import_module
from types import ModuleType

from durabus.errors import DurabusError

__all__ = ["LibraryMissingError", "import_library"]


class LibraryMissingError(DurabusError):
    """A library is not installed; the text names the extra that brings it."""


def import_library(name: str) -> ModuleType:
    """A module of a library that only some need; raises LibraryMissingError."""
    try:
        return import_module(name)
    except ImportError as error:
        raise LibraryMissingError(f"{name} is not installed: run pip install 'durabus[definitions]'") from error
