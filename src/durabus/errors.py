"""The errors that Durabus raises on purpose: one root, so that a border can turn each into one clear line."""


class DurabusError(Exception):
    """The root: its text says what happened, where, and the next step; it is shown to the user as it is."""


class StartError(DurabusError):
    """The server cannot start: an occupied port, an impossible combination of options, a store that is not there."""


class StoreError(DurabusError):
    """A store failed; the text is what the store said."""


class StoreLostError(StoreError):
    """The store belongs to another server now: this one must end."""
