"""python drive_python.py URL TOKEN PEER: drives the document's Python client; the last line on
stdout is what it heard, as JSON."""

import asyncio
import json
import sys

from python import RealtimeClient

KINDS = ["Status", "Ack", "Broadcast", "DirectMessage", "Pong", "Error"]


class Ears:
    """Keeps what a client hears, and waits for more of it."""

    def __init__(self, client):
        self.seen = []
        self.came = asyncio.Condition()
        for kind in KINDS:
            client.on(kind, self.handler(kind))

    def handler(self, kind):
        async def handle(data):
            async with self.came:
                self.seen.append((kind, data))
                self.came.notify_all()

        return handle

    def take(self, kind, status):
        for at, (other, data) in enumerate(self.seen):
            if other == kind and (status is None or data["status"] == status):
                del self.seen[at]
                return data
        return None

    async def next(self, kind, status=None):
        found = None

        def look():
            nonlocal found
            found = self.take(kind, status)
            return found is not None

        async with self.came:
            try:
                await asyncio.wait_for(self.came.wait_for(look), 20)
            except asyncio.TimeoutError:
                raise SystemExit(f"no {kind} came; seen: {self.seen}")
        return found


async def run(url, token, peer):
    client = RealtimeClient(url, token)
    ears = Ears(client)
    heard = {}
    await client.connect()
    heard["welcome"] = await ears.next("Status", "connected")
    await client.subscribe(["chat.general", "updates"])
    heard["subscribed"] = await ears.next("Status", "subscribed")
    payload = {"message": "Hello from the document", "list": [1, 2.5, None, "ünï ☃"]}
    await client.broadcast("chat.general", payload)
    heard["broadcastAck"] = await ears.next("Ack")
    await client.send_direct_message(peer, "just for you")
    heard["directAck"] = await ears.next("Ack")
    heard["broadcast"] = await ears.next("Broadcast")
    heard["direct"] = await ears.next("DirectMessage")
    await client.disconnect()
    heard["closed"] = client.websocket.close_code
    print(json.dumps(heard))


asyncio.run(run(*sys.argv[1:]))
