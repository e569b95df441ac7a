"""Whom a client signs in, and that it is never a guest."""

from dataclasses import dataclass, field
from typing import Final

from worker.openiap.address import Address
from worker.openiap.errors import AccessDenied
from worker.openiap.types import ConnectionOptions, User

NO_CREDENTIALS: Final = (
    "no credentials: neither a username with a password nor a jwt is set, and OpenIAP would sign "
    "in as guest, who may not work on items"
)
GUEST: Final = "the server signed in as guest, who may not work on items: check the credentials"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Either a user name with a password, or a token; false when it is neither."""

    username: str = ""
    password: str = field(default="", repr=False)
    jwt: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        return bool(self.jwt or (self.username and self.password))


def credentials_for(options: ConnectionOptions, address: Address) -> Credentials:
    """Return the credentials of the options, else those that the URL carried.

    Raises:
        AccessDenied: there are none.
    """
    given = Credentials(options.username, options.password, options.jwt)
    found = given or Credentials(address.username, address.password)
    if not found:
        raise AccessDenied(NO_CREDENTIALS, operation="connect")
    return found


def no_guest(user: User | None) -> User:
    """Return who was signed in.

    Raises:
        AccessDenied: nobody, or the guest.
    """
    if user is None or user.username.lower() == "guest":
        raise AccessDenied(GUEST, operation="signin")
    return user
