"""python recovery_support_python.py URL MODE TOKEN: python-socketio with its own user agent. The last line on stdout is the
data of its CONNECT reply and the arguments of an event, as JSON."""

import json
import sys
import threading

from connect_data import Client

TIMEOUT = 20


def run(url, mode, token):
    client, received, arrived = Client(reconnection=False), [], threading.Event()

    def receive(*arguments):
        received.extend(arguments)
        arrived.set()

    client.on("to-room", receive)
    agent = {"User-Agent": "my-app/1.0"}
    client.connect(url, headers=agent, auth={"token": token}, transports=[mode], wait_timeout=TIMEOUT)
    client.call("room:join", {"room": "first"}, timeout=TIMEOUT)
    print("in the room", flush=True)
    if not arrived.wait(TIMEOUT):
        raise SystemExit("no event arrived")
    client.disconnect()
    print(json.dumps({"arguments": received, "connectData": list(client.connect_data)}))


run(*sys.argv[1:])
