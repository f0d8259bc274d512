"""Connections that end before their time."""

import asyncio
import socket
import struct

from aiohttp import web


def reset(request: web.Request) -> None:
    """Reset the connection, so that the client sees no orderly end."""
    transport = _transport(request)
    connection = transport.get_extra_info("socket")
    # Lingering for no time turns the close into a reset.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def break_off(request: web.Request) -> None:
    """Close the connection after what has been written."""
    _transport(request).close()


def _transport(request: web.Request) -> asyncio.Transport:
    transport = request.transport
    if not isinstance(transport, asyncio.Transport):
        raise ConnectionResetError
    return transport
