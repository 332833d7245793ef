"""Asks a Redis over TLS, a line of words each; writes its answers, or what went wrong, as JSON.

shown: whether with the host's certificate. A word "{password}" is what the service says.
"""

import json
import pathlib
import socket
import ssl
import sys

arguments = json.loads(sys.argv[1])
password = pathlib.Path("/etc/shop/credentials/redis_password")
# By address: the name is not the subject here.
context = ssl.create_default_context(cafile="/etc/ssl/slipway/ca.pem")
context.check_hostname = False
if arguments["shown"]:
    context.load_cert_chain("/etc/ssl/slipway/host.pem", "/etc/ssl/slipway/host.key")
answers = []
try:
    plain = socket.create_connection((arguments["address"], 6379), timeout=5)
    with context.wrap_socket(plain, server_hostname=arguments["address"]) as link:
        stream = link.makefile("rwb")
        for line in arguments["lines"]:
            if "{password}" in line:
                line = line.replace("{password}", password.read_text().strip())
            stream.write(line.encode() + b"\r\n")
            stream.flush()
            answers.append(stream.readline().decode().strip())
    print(json.dumps(answers))
except OSError as fault:
    print(json.dumps(type(fault).__name__))
