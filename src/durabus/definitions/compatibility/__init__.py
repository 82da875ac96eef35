"""Whether events that were written by one definition can be read by another: `check(old, new)`."""

from durabus.definitions.compatibility.comparison import check
from durabus.definitions.compatibility.verdicts import Direction, EventVerdict, Finding, Mode, Verdicts

__all__ = ["Direction", "EventVerdict", "Finding", "Mode", "Verdicts", "check"]
