"""TLS 1.3 with client certificates, as OpenSSL gives it to Python."""

import ssl

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Ok, Unavailable, Verdict


def run(_: Host) -> Verdict:
    if not ssl.HAS_TLSv1_3:
        return Unavailable(f"{ssl.OPENSSL_VERSION} has no TLS 1.3", "install OpenSSL 1.1.1 or later")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    return Ok(ssl.OPENSSL_VERSION)


PROBE = Probe(
    name="TLS 1.3",
    group=Feature.IDENTITIES,
    purpose="Encrypts and authenticates each pipeline and its clients.",
    needed_by=(Feature.IDENTITIES,),
    run=run,
)
