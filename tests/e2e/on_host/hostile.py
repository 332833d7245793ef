"""Sends hostile paths to the public site from the host itself, so many a second, and counts the answers, as JSON."""

import collections
import http.client
import json
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor

arguments = json.loads(sys.argv[1])
CLIENTS = 20
# What made a worker busy before, what might, and what readers of paths, queries and log lines stumble over.
PATHS = (
    "/" + "token" * 102 + ":",
    "/" + "password=" * 56,
    "/api/v1/products?cursor=" + "A" * 400,
    "/api/v1/products?" + "&".join(f"category={number}" for number in range(40)),
    "/api/v1/products/" + "%25" * 150,
    "/" + "../" * 150,
    "/api/v1/products?search=" + "%F0%9F%98%80" * 30,
    "/" + "a:" * 250,
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
            connection.request("GET", PATHS[(client + number) % len(PATHS)])
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
