"""Holds connections to the public site from the host's own addresses: {longest: seconds one was held, opened: count}.

kind: "headers", one each second that never end; "body", one that says it comes and does not; "idle", a request and then
nothing.
"""

import asyncio
import json
import ssl
import sys
import time

arguments = json.loads(sys.argv[1])
# The edge counts connections by address: as few for each as it takes.
EACH = 50
HEAD = f"POST /api/v1/users HTTP/1.1\r\nHost: {arguments['address']}\r\n"
BEGINS = {
    "headers": HEAD,
    "body": f"{HEAD}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{",
    "idle": f"GET /health/live HTTP/1.1\r\nHost: {arguments['address']}\r\n\r\n",
}
context = ssl.create_default_context(cafile="/etc/ssl/slipway/ca.pem")


async def hold(number: int, ends: float) -> float:
    """How long one connection was held, once it was there."""
    source = (f"127.0.3.{number // EACH + 1}", 0)
    reader, writer = await asyncio.open_connection(arguments["address"], 443, ssl=context, local_addr=source)
    began = time.monotonic()
    try:
        writer.write(BEGINS[arguments["kind"]].encode())
        while (left := ends - time.monotonic()) > 0:
            if arguments["kind"] == "headers":
                writer.write(b"X-Slow: a\r\n")
            try:
                if not await asyncio.wait_for(reader.read(4096), min(1.0, left)):
                    break
            except asyncio.TimeoutError:
                continue
    except OSError:
        pass
    finally:
        writer.close()
    return time.monotonic() - began


async def main() -> None:
    """All at once."""
    ends = time.monotonic() + arguments["seconds"]
    held = await asyncio.gather(
        *(hold(number, ends) for number in range(arguments["connections"])), return_exceptions=True
    )
    times = [each for each in held if isinstance(each, float)]
    print(json.dumps({"longest": max(times, default=0.0), "opened": len(times)}))


asyncio.run(main())
