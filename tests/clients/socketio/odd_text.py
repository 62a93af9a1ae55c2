"""python odd_text.py URL MODE TOKEN: what json.dumps makes of odd values, sent as events; the last line on stdout is how each
was answered, as JSON."""

import json
import sys

import socketio

PATIENCE = 20
MODES = {"polling": ["polling"], "websocket": ["websocket"]}


def run(url, mode, token):
    client, connections = socketio.Client(reconnection_delay=0.05), []
    client.on("connect", lambda: connections.append(1))
    client.connect(url, auth={"token": token}, transports=MODES[mode], wait_timeout=PATIENCE)

    def publish(payload):
        answer = client.call("Broadcast", {"topic": "first", "payload": payload}, timeout=PATIENCE)
        return answer.get("recipients", answer.get("details"))

    told = {
        "infinity": publish(float("inf")),
        "chinese": publish("\u6f22" * 11_000),
        "half": publish("cut \ud83d"),
        "too long": publish("\u6f22" * 22_000),
        "integer": publish(10**300),
        "connections": len(connections),
    }
    client.disconnect()
    print(json.dumps(told))


run(*sys.argv[1:])
