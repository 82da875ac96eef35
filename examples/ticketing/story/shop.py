"""The shop: five services, two instances of each, one database per service; later in the story four more."""

from pathlib import Path

from .bus import CLUSTER_ID, Bus
from .database import Database
from .newcomers import Newcomers
from .service import Instance, Message

SERVICES_DIRECTORY = Path(__file__).resolve().parents[1] / "services"

ACK_WAIT_S = {"tickets": 3, "orders": 3, "payments": 3, "expiration": 3, "notifications": 30}


class Service:
    """A service with its instances "a" and "b"; each of them may be up or down."""

    def __init__(self, name: str, bus: Bus, directory: Path) -> None:
        self.name = name
        self.ack_wait_s = ACK_WAIT_S[name]
        self.database = Database(directory / name)
        self.instances: dict[str, Instance] = {}
        self._bus = bus
        self._log = directory / f"{name}.log"

    def start(self, *letters: str, arguments: tuple[str, ...] = ()) -> list[Instance]:
        """Starts these instances at the same time; `wait_ready` waits for them."""
        return [self._start(letter, arguments) for letter in letters or ("a", "b")]

    def _start(self, letter: str, arguments: tuple[str, ...]) -> Instance:
        name = f"{self.name}-{letter}"
        environment = {
            "BUS_URL": self._bus.url,
            "CLUSTER_ID": CLUSTER_ID,
            "CLIENT_ID": name,
            "DATABASE": str(self.database.directory),
            "ACK_WAIT": str(self.ack_wait_s),
        }
        command = ["node", str(SERVICES_DIRECTORY / f"{self.name}.js"), *arguments]
        instance = Instance(name, command, self._log, environment)
        self.instances[letter] = instance
        return instance

    @property
    def a(self) -> Instance:
        """The instance of that name."""
        return self.instances["a"]

    @property
    def b(self) -> Instance:
        """The instance of that name."""
        return self.instances["b"]

    def other(self, instance: Instance) -> Instance:
        """The one of the two that it is not."""
        return self.b if instance is self.a else self.a

    def find(self, what: str, **details: object) -> Message | None:
        """The first message of that kind with these details, from any instance."""
        return next((found for instance in self.instances.values() if (found := instance.find(what, **details))), None)

    def forget(self, instance: Instance) -> None:
        """It was killed on purpose."""
        del self.instances[instance.letter]

    def end(self) -> None:
        """Ends the instances that run, all at the same time."""
        for instance in self.instances.values():
            instance.ask_to_end()
        for letter in list(self.instances):
            self.instances.pop(letter).end()


class Shop:
    """The services by name. All of them talk to the same bus, and none to another one directly."""

    def __init__(self, bus: Bus, directory: Path) -> None:
        self.bus = bus
        self.tickets = Service("tickets", bus, directory)
        self.orders = Service("orders", bus, directory)
        self.payments = Service("payments", bus, directory)
        self.expiration = Service("expiration", bus, directory)
        self.notifications = Service("notifications", bus, directory)
        self.services = [self.tickets, self.orders, self.payments, self.expiration, self.notifications]
        self.newcomers = Newcomers(bus, directory)

    def start(self) -> None:
        """Starts all instances and waits until they are ready."""
        for service in self.services:
            service.start()
        for service in self.services:
            for instance in service.instances.values():
                instance.wait_ready()

    def check_runs(self) -> None:
        """Raises if the bus or a service has ended that should be there."""
        self.bus.check_runs()
        for service in self.services:
            for instance in service.instances.values():
                instance.check_runs()
        self.newcomers.check_runs()

    def end(self) -> None:
        """Ends all instances, all at the same time."""
        for service in self.services:
            for instance in service.instances.values():
                instance.ask_to_end()
        self.newcomers.end()
        for service in self.services:
            service.end()
