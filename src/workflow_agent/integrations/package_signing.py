"""Signatures of packages: Ed25519 over the list of files. A key is a file; a publisher is known by a fingerprint."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import json
import os
import re
from typing import TYPE_CHECKING, Final

from workflow_agent.integrations.package_file import read_bounded
from workflow_agent.model.errors import ConflictError, NotFoundError, ValidationError
from workflow_agent.model.identity import canonical_json

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from workflow_agent.integrations.package_file import Package

__all__ = ["fingerprint", "make_key", "sign_package", "signer_of"]

#: What is signed begins with this, so that a signature can be meant for nothing else.
_CONTEXT: Final = b"workflow-agent/package/1\n"
_LARGEST = 4096
_KEY_BYTES, _SIGNATURE_BYTES = 32, 64
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def fingerprint(public: bytes) -> str:
    """Name a public key: SHA-256 (hex)."""
    return hashlib.sha256(public).hexdigest()


def make_key(path: Path) -> str:
    """Make a signing key, readable for its owner only; gives its fingerprint.

    Raises:
        ConflictError: there is something of that name already.
        ValidationError: it cannot be written there.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  # late: 20 ms
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415  # late
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise ConflictError(f"`{path}` is there already", state="nothing was written") from error
    except OSError as error:
        raise ValidationError(f"`{path}` cannot be written", cause=error.strerror) from error
    with os.fdopen(number, "wb") as file:
        file.write(text)
    return fingerprint(key.public_key().public_bytes_raw())


def _load(path: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  # late: 20 ms
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415  # late

    try:
        text = read_bounded(path, _LARGEST)
    except NotFoundError as error:
        raise NotFoundError(error.message, cause=error.cause, hint="`--make-key` makes one there") from error
    try:
        key = load_pem_private_key(text, password=None)
    except (ValueError, TypeError) as error:  # the library's own words may repeat what is in it
        raise ValidationError("this is no key that can sign", where=str(path)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ValidationError("this is no Ed25519 key", where=str(path), hint="`--make-key` makes one")
    return key


def sign_package(package: Package, key: Path) -> Package:
    """Give the package with a signature, in place of one that it had.

    Raises:
        NotFoundError: there is no such key.
        ValidationError: it is none.
    """
    private = _load(key)
    public = private.public_key().public_bytes_raw()
    made = private.sign(_CONTEXT + package.signed)
    text = {"key": base64.b64encode(public).decode(), "signature": base64.b64encode(made).decode()}
    return dataclasses.replace(package, signature=canonical_json(text).encode())


def signer_of(package: Package) -> str | None:
    """Give the fingerprint of the key that signed a package; None for one without a signature.

    Raises:
        ValidationError: the signature does not fit.
    """
    if package.signature is None:
        return None
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  # late: 20 ms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415  # late

    try:
        public, made = _read(package.signature)
        Ed25519PublicKey.from_public_bytes(public).verify(made, _CONTEXT + package.signed)
    except (InvalidSignature, ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise ValidationError(
            f"the signature of `{package.name}` does not fit what it holds",
            hint="it was changed after it was signed: ask its publisher",
        ) from error
    return fingerprint(public)


def _read(text: bytes) -> tuple[bytes, bytes]:
    if len(text) > _LARGEST:
        raise ValueError("too long")
    told = json.loads(text.decode("ascii"))
    public = base64.b64decode(told["key"], validate=True)
    made = base64.b64decode(told["signature"], validate=True)
    again = {"key": base64.b64encode(public).decode(), "signature": base64.b64encode(made).decode()}
    if canonical_json(again).encode() != text or len(public) != _KEY_BYTES or len(made) != _SIGNATURE_BYTES:
        raise ValueError("not in the one form")
    return public, made
