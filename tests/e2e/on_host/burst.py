"""Sends many requests to the public site from the host itself and counts the answers' statuses, as JSON."""

import collections
import http.client
import json
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

arguments = json.loads(sys.argv[1])
CLIENTS = 20
context = ssl.create_default_context(cafile="/etc/ssl/slipway/ca.pem")
share = arguments["requests"] // CLIENTS


def send(client: int) -> list[int]:
    """Send a share of the requests over one connection, from an address of its own: the edge limits each."""
    connection = http.client.HTTPSConnection(
        arguments["address"], timeout=30, context=context, source_address=(f"127.0.1.{client + 1}", 0)
    )
    statuses = []
    for number in range(client * share, (client + 1) * share):
        connection.request("GET", "/api/v1/products?limit=1", headers={"X-Request-ID": f"burst-{number:05}"})
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
        if arguments["rotate"] and number == share // 2:
            subprocess.run(
                ["logrotate", "--force", "/etc/logrotate.d/shop", "/etc/logrotate.d/nginx"], check=True
            )
    connection.close()
    return statuses


with ThreadPoolExecutor(CLIENTS) as pool:
    counted = collections.Counter(status for found in pool.map(send, range(CLIENTS)) for status in found)
print(json.dumps({"statuses": counted}))
