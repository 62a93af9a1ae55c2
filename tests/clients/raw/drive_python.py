"""python drive_python.py URL TOKEN PEER: drives the document's Python client. The last line on stdout is the result, as
JSON."""

import asyncio
import json
import sys

from python import RealtimeClient

KINDS = ["Status", "Ack", "Broadcast", "DirectMessage", "Pong", "Error"]


class Recorder:
    """Records the messages of a client, and waits for them."""

    def __init__(self, client):
        self.messages = []
        self.arrived = asyncio.Condition()
        for kind in KINDS:
            client.on(kind, self.handler(kind))

    def handler(self, kind):
        async def handle(data):
            async with self.arrived:
                self.messages.append((kind, data))
                self.arrived.notify_all()

        return handle

    def take(self, kind, status):
        for index, (other, data) in enumerate(self.messages):
            if other == kind and (status is None or data["status"] == status):
                del self.messages[index]
                return data
        return None

    async def next(self, kind, status=None):
        found = None

        def check():
            nonlocal found
            found = self.take(kind, status)
            return found is not None

        async with self.arrived:
            try:
                await asyncio.wait_for(self.arrived.wait_for(check), 20)
            except asyncio.TimeoutError:
                raise SystemExit(f"no {kind} arrived; received: {self.messages}")
        return found


async def run(url, token, peer):
    client = RealtimeClient(url, token)
    recorder = Recorder(client)
    result = {}
    await client.connect()
    result["welcome"] = await recorder.next("Status", "connected")
    await client.subscribe(["chat.general", "updates"])
    result["subscribed"] = await recorder.next("Status", "subscribed")
    payload = {"message": "Hello from the document", "list": [1, 2.5, None, "ünï ☃"]}
    await client.broadcast("chat.general", payload)
    result["broadcastAck"] = await recorder.next("Ack")
    await client.send_direct_message(peer, "just for you")
    result["directAck"] = await recorder.next("Ack")
    result["broadcast"] = await recorder.next("Broadcast")
    result["direct"] = await recorder.next("DirectMessage")
    await client.disconnect()
    result["closed"] = client.websocket.close_code
    print(json.dumps(result))


asyncio.run(run(*sys.argv[1:]))
