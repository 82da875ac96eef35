"""What a Python service of the shop is told by its environment: the same words as those of the Node services, and PORT."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Self

DATA = Path(__file__).resolve().parents[1] / "data"


@dataclass(frozen=True)
class Settings:
    """Where the bus is, who we are there, where the database is, and on which port we answer (0: a free one)."""

    bus_url: str
    client_id: str
    database: Path
    cluster_id: str = "ticketing"
    ack_wait_s: int = 30
    port: int = 0

    @property
    def database_url(self) -> str:
        """As SQLAlchemy wants it."""
        return f"sqlite+aiosqlite:///{self.database}"

    @classmethod
    def from_environment(cls, service: str, port: int) -> Self:
        """BUS_URL, CLUSTER_ID, CLIENT_ID, DATABASE (a file), ACK_WAIT (seconds), PORT."""
        read = os.environ.get
        database = Path(read("DATABASE", DATA / f"{service}.db"))
        database.parent.mkdir(parents=True, exist_ok=True)
        return cls(
            bus_url=read("BUS_URL", "nats://localhost:4222"),
            client_id=read("CLIENT_ID", f"{service}-{secrets.token_hex(4)}"),
            database=database,
            cluster_id=read("CLUSTER_ID", "ticketing"),
            ack_wait_s=int(read("ACK_WAIT", "30")),
            port=int(read("PORT", str(port))),
        )
