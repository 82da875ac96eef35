"""Configuration files as the original takes them: which file is for which half, and where its streaming part is.

    -c FILE             both halves read FILE
    -sc FILE            the same
    -c ONE -sc OTHER    the NATS half reads ONE, the durable half OTHER

The durable half reads the section `streaming { ... }` of its file; where there is none, all of the file. So the NATS
half's `tls { ... }` or `cluster { ... }` counts for both halves in a file without that section, as in the original.
"""

from collections.abc import Mapping

from durabus.config.broker_keys import BROKER
from durabus.config.document import Section
from durabus.config.keys import Draft, read_section, section_of
from durabus.config.parser import parse_file
from durabus.config.streaming_keys import STREAMING

__all__ = ["read_files"]

OWN_SECTION = "streaming"


def read_files(broker_file: str, streaming_file: str, environment: Mapping[str, str]) -> Draft:
    """What the files given with -c and -sc ask for; an empty name is a file that was not given. Raises ConfigError."""
    draft = Draft()
    if not broker_file and not streaming_file:
        return draft
    name = broker_file or streaming_file
    file = parse_file(name, environment)
    read_section(file, BROKER, draft)
    draft.settings["process.config_file"] = name
    if broker_file and streaming_file:
        file = parse_file(streaming_file, environment)
    read_section(own_section(file), STREAMING, draft)
    return draft


def own_section(file: Section) -> Section:
    """The part of a file that is for the durable half."""
    for entry in file:
        if entry.key.lower() == OWN_SECTION:
            return section_of(entry, "streaming section")
    return file
