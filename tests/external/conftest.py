"""What the tests against a real nats-server share: both kinds of event loop, and certificates."""

import pytest

from tests.external.certificates import Certificates, make_certificates
from tests.external.harness import LOOPS, LoopFactory


@pytest.fixture(params=LOOPS.values(), ids=list(LOOPS))
def make_loop(request: pytest.FixtureRequest) -> LoopFactory:
    """The loop of the standard library, and the one that servers use."""
    factory: LoopFactory = request.param
    return factory


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for servers and clients."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))
