"""How a conductor and the generators that join it authenticate each other: a secret, and TLS."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from core.errors import UsageError
from core.paths import first_line
from core.settings import NOT_IN_PS, FileToRead, settings_config

SHORTEST_SECRET = 16
"""Characters. Someone who recorded a proof can test guesses against it, so a secret must be too long to guess."""


class JoinSettings(BaseSettings):
    """The settings of both sides, read from the environment."""

    model_config = settings_config("fanbench")

    join_secret_file: FileToRead = Field(
        None, description="file whose first line is the secret, instead of FANBENCH_JOIN_SECRET"
    )
    join_secret: Annotated[SecretStr | None, NOT_IN_PS] = Field(
        None,
        validate_default=True,
        description="secret of at least 16 characters that generators that join and their conductor share; set it in the environment",
    )
    join_open: bool = Field(
        False, description="with join_at on an address that other hosts reach: everyone may join, without a secret"
    )
    join_cert: FileToRead = Field(None, description="with join_at: PEM certificate; generators must join with TLS")
    join_key: FileToRead = Field(None, description="with join_at: PEM key of join_cert; default: in the same file")
    join_ca_file: FileToRead = Field(None, description="to join with TLS: PEM certificates to trust")
    join_sni: str = Field(
        "", description="to join with TLS: name that the certificate must have; default: the host that is joined"
    )

    @field_validator("join_secret", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        # Compose passes an unset variable as an empty one.
        return None if value == "" else value

    @field_validator("join_secret")
    @classmethod
    def _secret_is_long_enough(cls, secret: SecretStr | None, info: ValidationInfo[None]) -> SecretStr | None:
        file, where = info.data.get("join_secret_file"), ""
        if file is not None:
            if secret is not None:
                raise ValueError(f"join_secret_file={file} names another secret; leave one out")
            secret, where = SecretStr(_read_secret(file)), f"join_secret_file={file}: "
        text = secret.get_secret_value() if secret is not None else None
        if text is not None and (len(text) < SHORTEST_SECRET or text != text.strip() or not text.isprintable()):
            raise ValueError(
                f"{where}a secret has at least {SHORTEST_SECRET} printable characters, and no blank at either end; "
                "`openssl rand -hex 32` prints a good one"
            )
        return secret

    @property
    def secret(self) -> str:
        """The secret; empty if there is none."""
        return self.join_secret.get_secret_value() if self.join_secret is not None else ""

    def of_conductor(self) -> dict[str, object]:
        """Return the settings that a conductor needs, by name."""
        found: dict[str, object] = {"join_secret": self.secret, "join_open": self.join_open}
        found |= {"join_cert": self.join_cert, "join_key": self.join_key}
        return {name: value for name, value in found.items() if value}

    def require_guarded(self, option: str, host: str) -> None:
        """Check that strangers cannot join at `host`; the error begins with `option`.

        Raises:
            UsageError: other hosts reach that address, and there is neither a secret nor `join_open`.
        """
        if not self.secret and not self.join_open and not _is_loopback(host):
            raise UsageError(
                f"{option}: other machines reach this address, and a generator that joins gets the broker's URL with its password: "
                "set the same FANBENCH_JOIN_SECRET here and for the generators (`openssl rand -hex 32` prints one), or "
                "FANBENCH_JOIN_OPEN=true if everyone may join"
            )

    def conductor_tls(self) -> ssl.SSLContext | None:
        """Return the TLS context of a conductor, with its certificate; None without TLS.

        Raises:
            UsageError: a file cannot be read, or its content is wrong.
        """
        if self.join_cert is None:
            if self.join_key is not None:
                raise UsageError(
                    f"FANBENCH_JOIN_KEY={self.join_key} without FANBENCH_JOIN_CERT; give the certificate of that key too"
                )
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.join_cert, self.join_key, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            files = f"FANBENCH_JOIN_CERT={self.join_cert}"
            files += f", FANBENCH_JOIN_KEY={self.join_key}" if self.join_key is not None else ""
            raise UsageError(
                f"{files}: {_why(error)}; give PEM files of a certificate and its key, without a passphrase"
            ) from error
        return context

    def joining_tls(self) -> ssl.SSLContext | None:
        """Return the TLS context of a generator, with the authorities that it trusts; None without TLS.

        Raises:
            UsageError: the file cannot be read, or its content is wrong.
        """
        if self.join_ca_file is None:
            if self.join_sni:
                raise UsageError(
                    f"FANBENCH_JOIN_SNI={self.join_sni} has no meaning without TLS; give FANBENCH_JOIN_CA_FILE too, or leave it out"
                )
            return None
        try:
            return ssl.create_default_context(cafile=self.join_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"FANBENCH_JOIN_CA_FILE={self.join_ca_file}: {_why(error)}; give a PEM file") from error


def _is_loopback(host: str) -> bool:
    """Whether only this machine reaches it. Other names than localhost are not resolved and do not count."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read_secret(path: Path) -> str:
    try:
        return first_line(path)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"join_secret_file={path}: {_why(error)}; give a file whose first line is the secret"
        ) from None


def _no_password() -> str:
    raise ValueError("the key is protected by a passphrase")


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
