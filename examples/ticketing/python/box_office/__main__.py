"""`python -m examples.ticketing.python.box_office`."""

from ..serving import serve
from .app import create_app

serve("box-office", create_app, port=8001)
