"""`python -m examples.ticketing.python.sales`."""

from ..serving import serve
from .app import create_app

serve("sales", create_app, port=8002)
