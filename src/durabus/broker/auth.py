"""Who may connect: one user, several, or whoever knows a token (docs/protocol.md §1.3)."""

import hmac

__all__ = ["Gate"]


class Gate:
    """Admits clients by what their CONNECT says. Comparisons take the same time whether they hold or not."""

    def __init__(self, accounts: list[tuple[str, str]], token: str) -> None:
        """Admit `accounts` (user and password each), and whoever shows `token` where it is not empty."""
        self._accounts = [(user.encode(), password.encode()) for user, password in accounts]
        self._token = token.encode()

    def admits(self, user: str, password: str, token: str) -> bool:
        """Whether a client that shows these may connect."""
        shown_user, shown_password, shown_token = (text.encode() for text in (user, password, token))
        admitted = bool(self._token) and hmac.compare_digest(self._token, shown_token)
        for known_user, known_password in self._accounts:
            is_user = hmac.compare_digest(known_user, shown_user)
            if hmac.compare_digest(known_password, shown_password) and is_user:
                admitted = True
        return admitted
