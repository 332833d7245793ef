"""Ask addresses without a certificate: {address: [status, text]}; status 0, and why, where nobody answers."""

import json
import ssl
import sys
import urllib.error
import urllib.request


def ask(address: str) -> "list[object]":
    """Whoever answers is believed."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with urllib.request.urlopen(address, timeout=5, context=context) as answer:
            return [answer.status, answer.read(1 << 24).decode()]
    except urllib.error.HTTPError as failure:
        return [failure.code, failure.read(1 << 16).decode(errors="replace")]
    except OSError as failure:
        return [0, str(failure)]


print(json.dumps({address: ask(address) for address in json.loads(sys.argv[1])["addresses"]}))
