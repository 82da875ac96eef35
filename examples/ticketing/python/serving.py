"""Runs the app of a service until SIGTERM or Ctrl-C, and says on standard output when and where it answers."""

import json
import logging
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from .settings import Settings

HOST = "127.0.0.1"


class Server(uvicorn.Server):
    """Uvicorn, with the line that the story waits for."""

    def __init__(self, config: uvicorn.Config, service: str, client_id: str) -> None:
        super().__init__(config)
        self._service = service
        self._client_id = client_id

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        if self.started:
            _, port = self.servers[0].sockets[0].getsockname()[:2]
            said = {"service": self._service, "client": self._client_id, "url": f"http://{HOST}:{port}"}
            print(json.dumps({"say": "ready", **said}), flush=True)


def serve(service: str, create_app: Callable[[Settings], FastAPI], port: int) -> None:
    """Run a service as its environment says; `port` is the usual one."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    settings = Settings.from_environment(service, port)
    config = uvicorn.Config(create_app(settings), host=HOST, port=settings.port, log_level="warning")
    Server(config, service, settings.client_id).run()
