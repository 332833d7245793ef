"""Sends paths to the public site from the host itself, so many a second, and counts the answers, as JSON.

kind: "hostile", or "ordinary" for as many of the same shape that nobody made up to do harm.
"""

import collections
import http.client
import json
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor

arguments = json.loads(sys.argv[1])
CLIENTS = 20
# What made a worker busy before, what might, and what readers of paths, queries and log lines stumble over; each with
# its ordinary counterpart, which takes the same way through nginx and the service.
PATHS = (
    ("/" + "token" * 102 + ":", "/token"),
    ("/" + "password=" * 56, "/password"),
    ("/api/v1/products?cursor=" + "A" * 400, "/api/v1/products?cursor=A"),
    (
        "/api/v1/products?" + "&".join(f"category={number}" for number in range(40)),
        "/api/v1/products?category=tea",
    ),
    ("/api/v1/products/" + "%25" * 150, "/api/v1/products/1"),
    ("/" + "../" * 150, "/index.html"),
    ("/api/v1/products?search=" + "%F0%9F%98%80" * 30, "/api/v1/products?search=tea"),
    ("/" + "a:" * 250, "/a"),
)
context = ssl.create_default_context(cafile="/etc/ssl/slipway/ca.pem")


def send(client: int) -> list[int]:
    """Send this client's share over one connection, from an address of its own, in step with the rate."""
    connection = http.client.HTTPSConnection(
        arguments["address"], timeout=30, context=context, source_address=(f"127.0.2.{client + 1}", 0)
    )
    statuses, began, pause = [], time.monotonic(), CLIENTS / arguments["rate"]
    for number in range(int(arguments["seconds"] / pause)):
        time.sleep(max(0.0, began + number * pause - time.monotonic()))
        try:
            connection.request("GET", PATHS[(client + number) % len(PATHS)][arguments["kind"] == "ordinary"])
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
        except (OSError, http.client.HTTPException):
            connection.close()
            statuses.append(0)
    connection.close()
    return statuses


began = time.monotonic()
with ThreadPoolExecutor(CLIENTS) as pool:
    counted = collections.Counter(status for found in pool.map(send, range(CLIENTS)) for status in found)
print(json.dumps({"statuses": counted, "seconds": time.monotonic() - began}))
