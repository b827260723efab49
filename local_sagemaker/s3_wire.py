"""The three S3 requests that every job makes (list, get, put), without a client library: for an S3
on this machine.

    storage.py --quick--> wire --> 127.0.0.1      0.2 ms of CPU
         \\--everything else, and whatever is not answered with 200--> boto3      1.2 ms

A step moves little and often, so the library's own work would be most of it. The wire never
interprets an error: it says that it has no answer, and boto3 asks again and finds the words.
Requests are signed (Signature Version 4), because another S3 than MiniStack may listen here.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ipaddress
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, unquote_plus, urlsplit
from xml.etree import ElementTree

from local_sagemaker.config import Config

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 60.0
SAFE = "-_.~"
SIGNED = "host;x-amz-content-sha256;x-amz-date"

Item = tuple[str, str, int]  # key, ETag, size in bytes
Query = Mapping[str, str]


class NoAnswer(Exception):  # noqa: N818 - it says what is the case
    """Not 200, or not all of it: ask through boto3."""


def serves(endpoint: str) -> bool:
    """Is this an S3 on this machine, without TLS?"""
    url = urlsplit(endpoint)
    try:
        loopback = ipaddress.ip_address(url.hostname or "").is_loopback
    except ValueError:
        loopback = url.hostname == "localhost"
    return url.scheme == "http" and loopback and url.path in ("", "/")


class Wire:
    """Kept-alive connections to one S3, shared by all threads; each is used by one at a time."""

    def __init__(self, config: Config) -> None:
        url = urlsplit(config.s3_endpoint)
        self._address = (url.hostname or "", url.port or 80)
        self._host = url.netloc
        self._config = config
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for each in idle:
            each.close()

    def list(self, bucket: str, prefix: str) -> list[Item]:
        """Every object whose key begins with the prefix. Raises NoAnswer."""
        found: list[Item] = []
        query = {"encoding-type": "url", "list-type": "2", "prefix": prefix}
        while True:
            page = _parsed(self._ask("GET", bucket, "", query))
            found += _items(page)
            token = page.findtext("{*}NextContinuationToken")
            if page.findtext("{*}IsTruncated") != "true" or not token:
                return found
            query = {**query, "continuation-token": token}

    def fetch(self, bucket: str, key: str, target: Path) -> None:
        """One object into a file. Raises NoAnswer; OSError when it cannot be written."""
        self._ask("GET", bucket, key, target=target)

    def put(self, bucket: str, key: str, body: bytes) -> None:
        """One object, whole. Raises NoAnswer."""
        self._ask("PUT", bucket, key, body=body)

    def _ask(
        self,
        method: str,
        bucket: str,
        key: str,
        query: Query | None = None,
        body: bytes = b"",
        target: Path | None = None,
    ) -> bytes:
        """The answer's body, or nothing when it went into the target; a repeat does no harm."""
        path = "/" + quote(f"{bucket}/{key}" if key else bucket, safe=f"/{SAFE}")
        line = "&".join(
            f"{quote(k, SAFE)}={quote(v, SAFE)}" for k, v in sorted((query or {}).items())
        )
        headers = self._signed(method, path, line, body)
        asked = f"{path}?{line}" if line else path
        while True:
            connection, reused = self._take()
            try:
                connection.request(method, asked, body or None, headers)
                answer = connection.getresponse()
            except (OSError, http.client.HTTPException) as cause:
                connection.close()
                if not reused:  # else: it had been closed at the other end meanwhile
                    raise NoAnswer(str(cause)) from cause
                continue
            return self._read(connection, answer, target)

    def _read(
        self,
        connection: http.client.HTTPConnection,
        answer: http.client.HTTPResponse,
        target: Path | None,
    ) -> bytes:
        whole = False
        try:
            if answer.status != http.client.OK:
                raise NoAnswer(f"S3 answered {answer.status}")
            content = b"" if target is not None else answer.read()
            if target is not None:
                _save(answer, target)
            whole = answer.isclosed() and not answer.will_close
        except http.client.HTTPException as cause:
            raise NoAnswer(str(cause)) from cause
        finally:
            self._give_back(connection) if whole else connection.close()
        return content

    def _take(self) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            if self._idle:
                return self._idle.pop(), True
        return http.client.HTTPConnection(*self._address, timeout=TIMEOUT_SECONDS), False

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _signed(self, method: str, path: str, query: str, body: bytes) -> dict[str, str]:
        """The headers of a request with its signature, as AWS's "Signature Version 4" says."""
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        digest = hashlib.sha256(body).hexdigest()
        scope = f"{moment[:8]}/{self._config.region}/s3/aws4_request"
        named = f"host:{self._host}\nx-amz-content-sha256:{digest}\nx-amz-date:{moment}\n"
        asked = "\n".join((method, path, query, named, SIGNED, digest))
        text = "\n".join(
            ("AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(asked.encode()).hexdigest())
        )
        key = _signing_key(self._config.secret_key, scope.split("/"))
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        credential = f"Credential={self._config.access_key}/{scope}"
        return {
            "Host": self._host,
            "x-amz-date": moment,
            "x-amz-content-sha256": digest,
            "Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={SIGNED}, "
            f"Signature={signature}",
        }


def _signing_key(secret: str, scope: Iterable[str]) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _save(answer: http.client.HTTPResponse, target: Path) -> None:
    """http.client does not tell of a body that ends too early when it is read in parts."""
    expected, got = answer.length, 0
    with target.open("wb") as file:
        while chunk := answer.read(CHUNK_BYTES):
            got += file.write(chunk)
    if expected is not None and got != expected:
        raise NoAnswer(f"{got} bytes of {expected} came")


def _parsed(body: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(body)  # noqa: S314 - from an S3 on this machine
    except ElementTree.ParseError as cause:
        raise NoAnswer(f"no XML: {cause}") from cause


def _items(page: ElementTree.Element) -> list[Item]:
    encoded = page.findtext("{*}EncodingType") == "url"
    return [
        (unquote_plus(key) if encoded else key, etag.strip('"'), int(size))
        for key, etag, size in (
            [item.findtext(f"{{*}}{name}") or "" for name in ("Key", "ETag", "Size")]
            for item in page.iterfind("{*}Contents")
        )
    ]
