"""python one_argument.py URL MODE TOKEN: event handlers with one parameter. The last line on stdout is their arguments, as
JSON."""

import json
import sys
import threading

from connect_data import Client

TIMEOUT = 20
MODES = {"polling": ["polling"], "websocket": ["websocket"]}


def run(url, mode, token):
    client, events, complete = Client(reconnection=False), {}, threading.Event()

    def subscribe(event):
        def receive(data):
            events[event] = data
            if len(events) == 5:
                complete.set()

        client.on(event, receive)

    for event in ["connected", "system:welcome", "to-room", "to-user", "to-all"]:
        subscribe(event)
    client.connect(url, auth={"token": token}, transports=MODES[mode], wait_timeout=TIMEOUT)
    client.call("room:join", {"room": "first"}, timeout=TIMEOUT)
    print("in the room", flush=True)
    if not complete.wait(TIMEOUT):
        raise SystemExit(f"not all events arrived: {events}")
    client.disconnect()
    greetings = [events.pop(event)["socketId"] == client.connect_data["sid"] for event in ["connected", "system:welcome"]]
    print(json.dumps({"events": events, "connectData": list(client.connect_data), "greetings": greetings}))


run(*sys.argv[1:])
