"""Asks an app host's private port for a path, as the edge does; writes the status, or what went wrong, as JSON.

shown: whether with the host's certificate.
"""

import http.client
import json
import ssl
import sys

arguments = json.loads(sys.argv[1])
# By address: the name the edge checks is not the subject here.
context = ssl.create_default_context(cafile="/etc/ssl/slipway/ca.pem")
if arguments["shown"]:
    context.load_cert_chain("/etc/ssl/slipway/host.pem", "/etc/ssl/slipway/host.key")
connection = http.client.HTTPSConnection(arguments["address"], 8443, timeout=5, context=context)
try:
    connection.request("GET", arguments["path"])
    print(json.dumps(connection.getresponse().status))
except OSError as fault:
    print(json.dumps(str(fault)))
