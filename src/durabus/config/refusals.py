"""Why a flag or a key of the original is refused, and what to do instead: the same words in both places."""

__all__ = [
    "ACCOUNTS",
    "CLUSTERED",
    "CLUSTERING_MODE",
    "CURVES",
    "JETSTREAM",
    "NKEYS",
    "OTHER_PROTOCOLS",
    "PAUSES",
    "PERMISSIONS",
    "PINNED",
    "PROFILE",
    "REVOCATION",
    "ROUTES",
    "VERIFY_AND_MAP",
    "refusal",
]

CLUSTERED = (
    "clustering between streaming servers is not rebuilt; "
    "run one server, on a NATS cluster if need be: use -ns with the URLs of its servers"
)
CLUSTERING_MODE = f"stan: clustering mode not supported with MEMORY store type, nor with another: {CLUSTERED}"
"""For what turns it on: the original's words, and ours."""
ROUTES = "servers are not linked to each other; run a NATS cluster and use -ns with the URLs of its servers"
JETSTREAM = "JetStream is not part of this server; use -ns with the URL of a NATS server that has it"
OTHER_PROTOCOLS = "clients connect with plain NATS only; use -ns with the URL of a NATS server that speaks it, too"
ACCOUNTS = "accounts are not part of this server; use -ns with the URL of a NATS server that has them"
PERMISSIONS = (
    "permissions come later, and letting everybody do everything instead is no choice; leave it out, or use -ns"
)
NKEYS = "NKeys and credentials files come later; use a user with a password, or a token"
PROFILE = "there is no Go profiler in a Python program; leave it out"
PAUSES = "batches form by themselves while the one before is written; leave it out or give 0"
VERIFY_AND_MAP = "users cannot be told by their certificates; use verify, and passwords"
CURVES = "Python chooses the curves by itself; leave it out"
PINNED = "pinned certificates come later; use an authority of your own with verify"
REVOCATION = "certificates are sent without proof that they were not revoked; leave it out"


def refusal(what: str, why: str) -> str:
    """The line about a flag or a key that is refused."""
    return f"{what} is not available: {why}"
