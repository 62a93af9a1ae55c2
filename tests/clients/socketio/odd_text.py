"""python odd_text.py URL MODE TOKEN: sends odd values as json.dumps encodes them. The last line on stdout is their acks, as
JSON."""

import json
import sys

import socketio

TIMEOUT = 20
MODES = {"polling": ["polling"], "websocket": ["websocket"]}


def run(url, mode, token):
    client, connections = socketio.Client(reconnection_delay=0.05), []
    client.on("connect", lambda: connections.append(1))
    client.connect(url, auth={"token": token}, transports=MODES[mode], wait_timeout=TIMEOUT)

    def publish(payload):
        answer = client.call("Broadcast", {"topic": "first", "payload": payload}, timeout=TIMEOUT)
        return answer.get("recipients", answer.get("details"))

    result = {
        "infinity": publish(float("inf")),
        "chinese": publish("\u6f22" * 11_000),
        "half": publish("cut \ud83d"),
        "too long": publish("\u6f22" * 22_000),
        "integer": publish(10**300),
        "connections": len(connections),
    }
    client.disconnect()
    print(json.dumps(result))


run(*sys.argv[1:])
