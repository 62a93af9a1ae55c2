"""python namespaces_python.py URL TRANSPORT TOKEN: python-socketio toggles a namespace beside another one, and says CONNECT
again where it is in; the last line on stdout is what it saw, as JSON."""

import json
import sys
import threading

import socketio
from socketio import packet

PATIENCE = 20


def main(url, transport, token):
    client = socketio.Client(reconnection=False)
    cuts, connects, came = [], [], threading.Condition()

    def note(where, what):
        with came:
            where.append(what)
            came.notify_all()

    client.on("disconnect", lambda reason: note(cuts, reason))
    client.on("connect", lambda: note(connects, "/chat"), namespace="/chat")
    auth = {"token": token}
    client.connect(url, auth=auth, transports=[transport], namespaces=["/", "/chat"], wait_timeout=PATIENCE)

    def await_connects(number):
        with came:
            if not came.wait_for(lambda: len(connects) >= number, PATIENCE):
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
    # Again, without having left.
    for _ in range(3):
        client._send_packet(connect)
    joined = [client.call("room:join", {"room": "one"}, namespace=namespace, timeout=PATIENCE) for namespace in ("/", "/chat")]
    told = {"ids": len(ids), "connects": len(connects), "cuts": list(cuts), "joined": [one["success"] for one in joined]}
    client.disconnect()
    print(json.dumps(told))


main(*sys.argv[1:])
