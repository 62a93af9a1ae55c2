"""python namespace_changes_python.py URL TRANSPORT TOKEN: python-socketio leaves and joins one namespace while it stays in
another, and sends further CONNECTs to a joined one. The last line on stdout is the result, as JSON."""

import json
import sys
import threading

import socketio
from socketio import packet

TIMEOUT = 20


def main(url, transport, token):
    client = socketio.Client(reconnection=False)
    disconnects, connects, changed = [], [], threading.Condition()

    def add(events, event):
        with changed:
            events.append(event)
            changed.notify_all()

    client.on("disconnect", lambda reason: add(disconnects, reason))
    client.on("connect", lambda: add(connects, "/chat"), namespace="/chat")
    auth = {"token": token}
    client.connect(url, auth=auth, transports=[transport], namespaces=["/", "/chat"], wait_timeout=TIMEOUT)

    def await_connects(number):
        with changed:
            if not changed.wait_for(lambda: len(connects) >= number, TIMEOUT):
                raise SystemExit(f"{len(connects)} connects, not {number}")

    await_connects(1)
    ids = {client.get_sid("/chat")}
    connect = packet.Packet(packet.CONNECT, namespace="/chat", data=auth)
    disconnect = packet.Packet(packet.DISCONNECT, namespace="/chat")
    for number in range(2, 21):
        client._send_packet(disconnect)
        client.namespaces.pop("/chat", None)
        client._send_packet(connect)
        await_connects(number)
        ids.add(client.get_sid("/chat"))
    # CONNECT again, without DISCONNECT.
    for _ in range(3):
        client._send_packet(connect)
    joined = [client.call("room:join", {"room": "one"}, namespace=namespace, timeout=TIMEOUT) for namespace in ("/", "/chat")]
    result = {"ids": len(ids), "connects": len(connects), "disconnects": list(disconnects), "joined": [reply["success"] for reply in joined]}
    client.disconnect()
    print(json.dumps(result))


main(*sys.argv[1:])
