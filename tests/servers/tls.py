"""TLS servers for tests: an authority of their own, certificates right and wrong in every way, servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HOST = "127.0.0.1"
DAY = 86_400.0
SECONDS = 10.0
# SO_LINGER of zero seconds: closing sends RST instead of FIN (tcp(7), socket(7)).
LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Certified:
    """A certificate with its key; `chain` are the certificates that a server sends with it, its issuer's first."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...] = field(default=())

    @property
    def ends(self) -> float:
        """Return when the certificate ends, in seconds since 1970."""
        return self.certificate.not_valid_after_utc.timestamp()

    def pem(self) -> bytes:
        """Return the certificate and its chain."""
        encoding = serialization.Encoding.PEM
        return b"".join(each.public_bytes(encoding) for each in (self.certificate, *self.chain))

    def key_pem(self) -> bytes:
        """Return the key, unencrypted."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def written(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write certificate chain and key into a folder and return their paths."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.pem())
        key.write_bytes(self.key_pem())
        key.chmod(0o600)
        return certificate, key


class Authority:
    """Issues certificates. Its root ends in ten years."""

    def __init__(self, name: str = "Test Root") -> None:
        self.root = _certified(name, None, days=3650.0, is_authority=True)

    def intermediate(self, days: float, name: str = "Test Intermediate") -> Certified:
        """Return a subordinate authority that ends in so many days."""
        return _certified(name, self.root, days=days, is_authority=True)

    def leaf(
        self,
        *,
        days: float = 90.0,
        names: Sequence[str] = (HOST, "localhost"),
        issuer: Certified | None = None,
        subject: str = "server.example",
    ) -> Certified:
        """Return a server's certificate that ends in so many days (in the past when negative), for these names."""
        return _certified(subject, issuer or self.root, days=days, names=names)


def self_signed(days: float = 90.0) -> Certified:
    """Return a certificate that only itself vouches for."""
    return _certified("alone.example", None, days=days, names=(HOST, "localhost"))


def server_context(
    certified: Certified,
    folder: Path,
    *,
    clients_of: Path | None = None,
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> ssl.SSLContext:
    """Return a server's context; `clients_of` asks for client certificates that this file's authority issued."""
    certificate, key = certified.written(folder, f"server-{certified.certificate.serial_number:x}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.maximum_version = newest
    if clients_of is not None:
        context.load_verify_locations(clients_of)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextlib.asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None, host: str = HOST) -> AsyncIterator[int]:
    """Serve a handler on a free port, from the first byte in TLS where there is a context, and yield the port.

    Connections are taken in plain and upgraded here, so that each is known and closed at the end, also one whose
    handshake hangs.
    """
    tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if context is not None:
                await writer.start_tls(context)
            await handler(reader, writer)
            await writer.drain()
        await _closed(writer)

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # No coroutine: it is called with the connection, so that one whose handler never begins is known as well.
        task = asyncio.ensure_future(handle(reader, writer))
        tasks[task] = writer
        task.add_done_callback(lambda ended: tasks.pop(ended, None) if not ended.cancelled() else None)

    server = await asyncio.start_server(accepted, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await taken()
        server.close()
        left = dict(tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for writer in left.values():
            writer.transport.abort()
        # A transport closes its socket in the loop's next turn.
        for _ in left:
            await asyncio.sleep(0)
        await asyncio.sleep(0)


async def taken() -> None:
    """Wait for connections that the loop is just taking: a server that is closed meanwhile never closes them."""
    while taking := [one for one in asyncio.all_tasks() if "_accept_connection2" in repr(one.get_coro())]:
        await asyncio.wait(taking, timeout=SECONDS)


async def _closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection, as politely as the other side lets us until we are cancelled."""
    writer.close()
    with contextlib.suppress(OSError):
        try:
            await writer.wait_closed()
        except asyncio.CancelledError:
            writer.transport.abort()
            async with asyncio.timeout(SECONDS):
                await writer.wait_closed()


@contextlib.contextmanager
def blocking(context: ssl.SSLContext, answer: bytes) -> Iterator[int]:
    """Serve from a thread with OpenSSL on the socket itself, answer the first thing that comes, and yield the port.

    asyncio's servers close without the alert that says why a handshake failed; this is what other servers do.
    """
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        is_over = threading.Event()

        def serve() -> None:
            while True:
                plain, _ = listener.accept()
                with plain:
                    if is_over.is_set():
                        return
                    plain.settimeout(SECONDS)
                    with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secure:
                        if secure.recv(65536):
                            secure.sendall(answer)
                            secure.unwrap()

        thread = threading.Thread(target=serve, name="tls-server", daemon=True)
        thread.start()
        try:
            yield port
        finally:
            is_over.set()
            with socket.create_connection((HOST, port), SECONDS):
                thread.join(SECONDS)


async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing, and read until the client closes."""
    del writer
    while await reader.read(65536):
        pass


async def gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing and close at once."""


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send RST."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
    writer.transport.abort()


def _certified(
    name: str,
    issuer: Certified | None,
    *,
    days: float,
    names: Sequence[str] = (),
    is_authority: bool = False,
) -> Certified:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = issuer.key if issuer else key
    ends = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=days)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends - dt.timedelta(days=4000))
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if is_authority:
        builder = builder.add_extension(_signs(), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(each) for each in names]), critical=False)
    certificate = builder.sign(signer, hashes.SHA256())
    chain = (
        (issuer.certificate, *issuer.chain)
        if issuer and issuer.certificate.issuer != issuer.certificate.subject
        else ()
    )
    return Certified(certificate, key, chain)


def _signs() -> x509.KeyUsage:
    unused = dict.fromkeys(
        (
            *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("encipher_only", "decipher_only"),
        ),
        False,
    )
    return x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **unused)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
