"""Which addresses a morning is not sent to: this host's own, and those of its link, where clouds keep their secrets.

Looked at twice: before anything is sent, by what the name stands for; and once connected, by whom the connection is to,
since a name may stand for something else by then.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from coordinator.outbox.outside import NotDelivered

_WHY = "is this host's own or of its link: set CELERIAC_CALL_LOCAL=true where the coordinator's clock runs to allow it"


def is_local(address: str) -> bool:
    """Whether an IP address is loopback, link-local, unspecified or multicast, also where IPv6 carries it."""
    found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found.sixtofour or found
    return found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast


def refuse_local(url: str, named: str) -> None:
    """Raise NotDelivered for an address that is local, calling it `named`; one that is unknown is left to who asks."""
    at = urlsplit(url)
    try:
        found = socket.getaddrinfo(at.hostname, at.port or 443, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        return
    if any(is_local(str(address[0])) for *_, address in found):
        raise NotDelivered(f"{named} {_WHY}")


def refuse_local_peer(connected: socket.socket) -> None:
    """Raise ConnectionRefusedError for a connection to a local address."""
    if is_local(str(connected.getpeername()[0])):
        connected.close()
        raise ConnectionRefusedError(f"its address {_WHY}")
