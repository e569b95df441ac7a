"""Users: hashed passwords, signed tokens, and one for a server that was started without any.

1. Who was named at this start may sign in, and nobody else, whoever was named before.
2. A token is bound to the password that it was given for, and to its user: it dies with either.
3. A name that nobody has takes as long to refuse as a wrong password.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt

from worker.localserver.operations.roles import USERS, Roles
from worker.localserver.storage import json_text, rights
from worker.localserver.storage.document_table import DocumentTable
from worker.localserver.storage.errors import RefusedError
from worker.localserver.storage.ids import new_id
from worker.localserver.storage.private_files import close_to_others
from worker.localserver.storage.store import Store
from worker.localserver.storage.user import ADMINS, User

COLLECTION: Final = "users"
ALGORITHM: Final = "HS256"
LONG_LIFETIME: Final = 365 * 24 * 3600.0
SIGNING_KEY: Final = "signing_key"
REMEMBERED: Final = 256
COST: Final = 2**14
"""What a hash costs (scrypt's ``n``): some 50 ms of CPU, so that guessing passwords takes long."""
GENERATED_NAME: Final = "local"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The salt and hash of a user's password."""

    userid: str
    salt: bytes
    hash: bytes


class Users:
    """Knows who may sign in."""

    def __init__(self, store: Store, documents: DocumentTable, roles: Roles) -> None:
        self._store = store
        self._documents = documents
        self._roles = roles
        found = store.setting(SIGNING_KEY)
        if found is None or store.was_open_to_others:
            found = secrets.token_hex(32)
            store.set_setting(SIGNING_KEY, found)
        self._secret = found
        # Hashing is dear on purpose; a password that was right once is known again by a keyed
        # hash that lives in memory only, so that workers which reconnect cost nothing.
        self._memory_key = secrets.token_bytes(32)
        self._verified: dict[str, bytes] = {}
        self._tokens: dict[str, tuple[User, float]] = {}
        self._writes = -1
        self._named: set[str] = set()
        self._nobody = Credentials("", secrets.token_bytes(16), secrets.token_bytes(64))

    def ensure_only(self, admins: Mapping[str, str], plain: Mapping[str, str], now: int) -> None:
        """Make these users, and let nobody else sign in who was named at an earlier start.

        Args:
            admins, plain: passwords by name, of administrators and of ordinary users.
        """
        for name, password in admins.items():
            self.ensure(name, password, now)
        for name, password in plain.items():
            self.ensure(name, password, now, admin=False)
        users = {**admins, **plain}
        marks = ", ".join("?" * len(users))
        # Their ids stay: what they own is theirs again when they are named again.
        self._store.write(
            f"UPDATE credentials SET salt = x'', hash = x'' WHERE username NOT IN ({marks})",  # noqa: S608 (marks)
            tuple(users),
        )
        self._named = set(users)

    def ensure(self, username: str, password: str, now: int, *, admin: bool = True) -> None:
        """Make a user, or give an existing one this password and these rights."""
        self._named.add(username)
        self._tokens.clear()
        known = self.credentials(username)
        userid = known.userid if known else new_id()
        self._store_password(username, userid, password, known)
        if not self.document(userid):
            self._make_document(username, userid, now)
        user = User(userid, username)
        self._roles.set_member(USERS, user, member=True)
        self._roles.set_member(ADMINS, user, member=admin)

    def _store_password(
        self, username: str, userid: str, password: str, known: Credentials | None
    ) -> None:
        if known is not None and verify_password(known, password):
            return
        salt = secrets.token_bytes(16)
        self._store.write(
            "INSERT OR REPLACE INTO credentials (username, userid, salt, hash) VALUES (?, ?, ?, ?)",
            (username, userid, salt, _hash(password, salt)),
        )

    def _make_document(self, username: str, userid: str, now: int) -> None:
        stamp = json_text.write_date(now)
        mine = {"_id": userid, "name": username, "rights": rights.FULL}
        self._documents.insert(
            COLLECTION,
            {
                "_id": userid,
                "_type": "user",
                "name": username,
                "username": username,
                "email": "",
                "_acl": [dict(rights.FOR_ADMINS), mine],
                "_created": stamp,
                "_modified": stamp,
                "_version": 0,
            },
        )

    def credentials(self, username: str) -> Credentials | None:
        """Return what a user's password is checked against, or None: who is not known may not."""
        if username not in self._named:
            return None
        found = self._store.row(
            "SELECT userid, salt, hash FROM credentials WHERE username = ?", (username,)
        )
        return Credentials(found[0], found[1], found[2]) if found else None

    def document(self, userid: str) -> dict[str, Any]:
        """Return a user's document; an empty one where it was deleted."""
        return self._documents.get(COLLECTION, userid) or {}

    def to_check(self, username: str) -> Credentials:
        """Return what a password is checked against; nobody's where the name is not known."""
        return self.credentials(username) or self._nobody

    def recently_verified(self, username: str, password: str) -> User | None:
        """Return the user if exactly this password was found right before, without hashing."""
        digest = self._verified.get(username)
        if digest is None or not hmac.compare_digest(digest, self._digest(username, password)):
            return None
        known = self.credentials(username)
        return User(known.userid, username) if known else None

    def remember(self, username: str, password: str) -> None:
        """Note that this password was found right."""
        if len(self._verified) >= REMEMBERED:
            self._verified.clear()
        self._verified[username] = self._digest(username, password)

    def token(self, user: User, lifetime: float, now: float) -> str:
        """Return a signed token.

        Args:
            user: who may use it.
            lifetime: seconds that it is valid.
            now: the server's time in seconds.
        """
        return jwt.encode(
            {
                "data": {
                    "_id": user.id,
                    "username": user.username,
                    "stamp": self._stamp(user.username),
                },
                "iat": int(now),
                "exp": int(now + lifetime),
                # Two tokens of one second differ, as they do on OpenIAP.
                "jti": secrets.token_hex(8),
            },
            self._secret,
            algorithm=ALGORITHM,
        )

    def user_of_token(self, token: str, now: float) -> User:
        """Return who a token was made for.

        Raises:
            RefusedError: it is not signed by this server, its time is over, or its user is gone
                or has another password now.
        """
        writes = self._documents.writes(COLLECTION)
        if writes != self._writes or len(self._tokens) >= REMEMBERED:
            # Somebody may be gone since they were read.
            self._writes = writes
            self._tokens.clear()
        known = self._tokens.get(token)
        if known is None:
            known = self._tokens[token] = self._read(token)
        if known[1] <= now:
            raise RefusedError("jwt expired")
        return known[0]

    def _stamp(self, username: str) -> str:
        """Return what is another when the password or the user is another; no hash gets out."""
        known = self.credentials(username)
        if known is None:
            return secrets.token_hex(16)
        text = known.userid.encode() + known.salt + known.hash
        return hmac.new(self._secret.encode(), text, "sha256").hexdigest()[:32]

    def _read(self, token: str) -> tuple[User, float]:
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                options={
                    "require": ["exp"],
                    # The server's own clock decides, and tests inject theirs.
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            data = claims["data"]
            user, until = User(str(data["_id"]), str(data["username"])), float(claims["exp"])
            stamp = str(data["stamp"]).encode()
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            raise RefusedError("invalid jwt") from error
        present = self._stamp(user.username).encode()
        if not hmac.compare_digest(stamp, present) or not self.document(user.id):
            raise RefusedError("invalid jwt")
        return user, until

    def _digest(self, username: str, password: str) -> bytes:
        text = f"{len(username)}:{username}{password}".encode()
        return hmac.digest(self._memory_key, text, "sha256")


def verify_password(credentials: Credentials, password: str) -> bool:
    """Say whether a password is the right one; takes as much CPU as ``COST`` says."""
    return hmac.compare_digest(_hash(password, credentials.salt), credentials.hash)


def _hash(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=COST, r=8, p=1)


def generated_user(data: Path | None) -> tuple[str, str]:
    """Return a user name and a random password; those of an earlier start where there are some.

    Args:
        data: the data file, beside which both are kept; without one nothing is kept.

    Raises:
        OSError: the file beside the data cannot be read or written.
    """
    generated = GENERATED_NAME, secrets.token_urlsafe(18)
    if data is None:
        return generated
    path = data.with_name(f"{data.name}.user")
    # One that others could read is a password no more.
    if path.exists() and not close_to_others(path):
        name, separator, password = path.read_text(encoding="utf-8").strip().partition(":")
        if separator and name and password:
            return name, password
    # Made with its mode, not changed to it after: nobody else may read it even for a moment.
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(":".join(generated) + "\n")
    return generated
