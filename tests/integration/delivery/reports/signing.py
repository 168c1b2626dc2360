"""Messages signed with DKIM in any way, also in wrong ones, and the records of the keys."""

from __future__ import annotations

import base64
import time
from functools import cache
from hashlib import sha256

import dkim
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from dkim.canonicalization import CanonicalizationPolicy
from dkim.crypto import HASH_ALGORITHMS, parse_pem_private_key
from nacl.encoding import Base64Encoder
from nacl.signing import SigningKey

LETTER = (
    b"From: Alice <alice@world.example>\r\nTo: bob@gold.example\r\nSubject: hello\r\n"
    b"\r\nDear Bob,\r\n\r\n  a  letter \r\n\r\n\r\n"
)
RECEIVED = (
    b"Received: from client.example ([192.0.2.1])\r\n\tby mx.relay.example with ESMTP id 1.1;\r\n"
    b"\tMon, 21 Sep 2026 14:13:20 +0000\r\n"
)


class Key:
    """A pair of keys; ``record`` is what its domain publishes, as text of a zone."""

    def __init__(self, kind: str = "rsa", bits: int = 2048) -> None:
        self.kind = kind
        if kind == "rsa":
            rsa = generate_private_key(65537, bits)
            pem = rsa.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
            self.private = parse_pem_private_key(pem)
            public = rsa.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        else:
            ed25519 = Ed25519PrivateKey.generate()
            raw = ed25519.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
            self.private = SigningKey(base64.b64encode(raw), encoder=Base64Encoder)
            public = ed25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.publish(public)

    def publish(self, public: bytes) -> None:
        self.record = f"v=DKIM1; k={self.kind}; p={base64.b64encode(public).decode()}"

    def sign(
        self,
        content: bytes,
        domain: str,
        *,
        selector: str = "s",
        canonical: str = "relaxed/simple",
        names: str = "from:to:subject:from",
        algorithm: str = "",
        **tags: str,
    ) -> bytes:
        """``content`` with a signature on top; ``tags`` are further ones, or others than it would get (``l``: of the
        body that is there)."""
        algorithm = algorithm or f"{self.kind}-sha256"
        signer = dkim.DKIM(content, signature_algorithm=algorithm.encode())
        signer.hasher = HASH_ALGORITHMS[algorithm.encode()]
        policy = CanonicalizationPolicy.from_c_value(canonical.encode())
        body = policy.canonicalize_body(signer.body)
        length = int(tags.get("l", len(body)))
        fields = {
            "v": "1",
            "a": algorithm,
            "c": canonical,
            "d": domain,
            "s": selector,
            "t": str(int(time.time())),
            "h": names,
            "bh": base64.b64encode(sha256(body[:length]).digest()).decode(),
            **tags,
            "b": "0" * 60,
        }
        header = signer.gen_header(
            [(tag.encode(), value.encode()) for tag, value in fields.items()],
            names.encode().split(b":"),
            policy,
            b"DKIM-Signature",
            self.private,
        )
        return b"DKIM-Signature: " + header + content


@cache
def rsa() -> Key:
    """One for all tests: making one takes a while."""
    return Key()


@cache
def ed25519() -> Key:
    return Key("ed25519")


@cache
def costly() -> Key:
    """A good one whose public exponent is as large as its modulus: verifying costs what signing does elsewhere."""
    key = Key()
    private = key.private
    for exponent, prime in (("exponent1", "prime1"), ("exponent2", "prime2")):
        private[exponent] = private["publicExponent"] % (private[prime] - 1)
    key.publish(_der(0x30, _integer(private["modulus"]) + _integer(private["privateExponent"])))
    return key


def _integer(number: int) -> bytes:
    return _der(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _der(tag: int, octets: bytes) -> bytes:
    return bytes([tag, 0x82]) + len(octets).to_bytes(2, "big") + octets


def txt(name: str, text: str) -> str:
    """A TXT record of a zone, in strings of a length that one may have."""
    strings = " ".join(f'"{text[start : start + 200]}"' for start in range(0, len(text), 200))
    return f"{name} TXT {strings}\n"
