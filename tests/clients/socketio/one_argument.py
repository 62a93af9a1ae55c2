"""python one_argument.py URL MODE TOKEN: handlers that take one argument, as python-socketio's do; the last line on stdout
is what they got, as JSON."""

import json
import sys
import threading

from let_in import Client

PATIENCE = 20
MODES = {"polling": ["polling"], "websocket": ["websocket"]}


def run(url, mode, token):
    client, heard, came = Client(reconnection=False), {}, threading.Event()

    def hears(event):
        def note(data):
            heard[event] = data
            if len(heard) == 5:
                came.set()

        client.on(event, note)

    for event in ["connected", "system:welcome", "to-room", "to-user", "to-all"]:
        hears(event)
    client.connect(url, auth={"token": token}, transports=MODES[mode], wait_timeout=PATIENCE)
    client.call("room:join", {"room": "first"}, timeout=PATIENCE)
    print("in the room", flush=True)
    if not came.wait(PATIENCE):
        raise SystemExit(f"not all came: {heard}")
    client.disconnect()
    greeted = [heard.pop(event)["socketId"] == client.let_in["sid"] for event in ["connected", "system:welcome"]]
    print(json.dumps({"heard": heard, "letInWith": list(client.let_in), "greeted": greeted}))


run(*sys.argv[1:])
