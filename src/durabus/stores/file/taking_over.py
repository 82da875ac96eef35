"""How a new owner begins: it reads the journal, and seals what it found before it does anything else. FORMAT.md §7, §9."""

from typing import Final

from durabus.errors import StoreError
from durabus.stores.file.journal import Journal
from durabus.stores.file.writer import NameTakenError, WriteError
from durabus.streaming.store_port import FATAL, Recovered

__all__ = ["take_over"]

_TRIES: Final = 5


def take_over(journal: Journal, epoch: int) -> Recovered:
    """Open `journal` as the owner number `epoch`, whose lease is there already. Raises StoreError and OSError.

    A former owner may have begun its next segment, or used the spare, just before it noticed that it is overtaken: then
    that counts, though nothing of it was reported, and the journal is read once more; so it is when a file that it dropped
    is gone meanwhile.
    """
    problem = ""
    for _ in range(_TRIES):
        try:
            recovered = journal.open(lambda _: None, epoch)
            journal.begin_segment()
        except FileNotFoundError as error:
            problem = str(error)
            continue
        except WriteError as error:
            problem = str(error)
            if error.outcome == FATAL and not isinstance(error, NameTakenError):
                break
            continue
        return recovered
    raise StoreError(problem)
