"""Connects to the fleet's database as the service does, with its driver; writes "connected" or what was answered."""

import asyncio
import json
import ssl
import sys

import asyncpg

arguments = json.loads(sys.argv[1])
context = ssl.create_default_context(cafile="/etc/ssl/slipway/ca.pem") if arguments["tls"] else False
with open(arguments["password_file"], encoding="utf-8") as file:
    password = file.read().removesuffix("\n")


async def connect() -> str:
    try:
        connection = await asyncpg.connect(
            host=arguments["server"],
            user=arguments["user"],
            database="shop",
            password=password + arguments["more"],
            ssl=context,
            timeout=5,
        )
    except (OSError, asyncpg.PostgresError) as refusal:
        return str(refusal)
    await connection.close()
    return "connected"


print(json.dumps(asyncio.run(connect())))
