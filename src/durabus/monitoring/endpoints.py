"""What each path answers. A new page is one function and one row in `STREAMING_PAGES` or `NATS_PAGES`."""

import posixpath
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from durabus.monitoring import nats_pages, streaming_pages
from durabus.monitoring.connz import connz
from durabus.monitoring.process import CpuMeter
from durabus.monitoring.query import BadParameterError, Query, parse_query
from durabus.monitoring.replies import Reply, bad_request, document, moved, not_found, page
from durabus.monitoring.state import StateSource
from durabus.monitoring.steps import Steps

__all__ = ["NATS_PAGES", "STREAMING_PAGES", "Page", "Site"]

Page = Callable[[StateSource, Query], Steps[Reply]]

STREAMING_PAGES: Final[dict[str, Page]] = {
    "/streaming": streaming_pages.index,
    "/streaming/serverz": streaming_pages.serverz,
    "/streaming/storez": streaming_pages.storez,
    "/streaming/clientsz": streaming_pages.clientsz,
    "/streaming/channelsz": streaming_pages.channelsz,
    "/streaming/isFTActive": streaming_pages.is_ft_active,
}

NATS_PAGES: Final[dict[str, Page]] = {
    "/connz": connz,
    "/subsz": nats_pages.subsz,
    "/routez": nats_pages.routez,
    "/gatewayz": nats_pages.gatewayz,
    "/leafz": nats_pages.leafz,
    "/accountz": nats_pages.accountz,
    "/accstatz": nats_pages.accstatz,
    "/jsz": nats_pages.jsz,
    "/healthz": nats_pages.healthz,
}
ALIASES: Final = {"/subscriptionsz": "/subsz"}


class Site:
    """All pages of one port. It counts requests, as `/varz` shows them."""

    def __init__(self, source: StateSource, base_path: str = "") -> None:
        """Answer about `source`; the broker's pages, and only those, are below `base_path`."""
        self._source = source
        self._base_path = posixpath.normpath("/" + base_path.strip("/")) if base_path.strip("/") else ""
        self._requests: dict[str, int] = {}
        self._cpu = CpuMeter(source.identity().now_ns)

    def answer(self, path: str, query_text: bytes) -> Steps[Reply]:
        """The reply to a request for `path`, whatever its method was."""
        cleaned = clean_path(path)
        if cleaned != path:
            parameters = "?" + query_text.decode("latin-1") if query_text else ""
            return moved(quote(cleaned, errors="replace") + parameters)
        query = parse_query(query_text)
        try:
            return (yield from self._answer(path, query))
        except BadParameterError as error:
            return bad_request(str(error))

    def _answer(self, path: str, query: Query) -> Steps[Reply]:
        streaming_page = STREAMING_PAGES.get(path)
        if streaming_page is not None:
            return (yield from streaming_page(self._source, query))
        name = self._nats_name(path)
        if name == "/":
            self._count(name)
            below = self._base_path.rpartition("/")[2]
            links = [(posixpath.join(below, place), words) for place, words in nats_pages.LINKS]
            return page("NATS", links)
        if name == "/varz":
            self._count(name)
            rows = nats_pages.varz_rows(self._source, self._base_path, self._requests, self._cpu)
            return (yield from document((yield from rows), query))
        nats_page = NATS_PAGES.get(name)
        if nats_page is None:
            return not_found()
        self._count(name)
        return (yield from nats_page(self._source, query))

    def _nats_name(self, path: str) -> str:
        """The name of one of the broker's pages, without the base path; empty when it is none."""
        if self._base_path and path == self._base_path:
            return "/"
        if not path.startswith(self._base_path + "/") or (self._base_path and path == self._base_path + "/"):
            return ""
        name = path.removeprefix(self._base_path)
        return ALIASES.get(name, name)

    def _count(self, name: str) -> None:
        self._requests[name] = self._requests.get(name, 0) + 1


def clean_path(path: str) -> str:
    """The path without empty and dotted parts; a slash at its end stays."""
    if not path:
        return "/"
    cleaned = posixpath.normpath("/" + path.lstrip("/"))
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned
