"""python offered_python.py URL MODE TOKEN: python-socketio with a user agent of its own; the last line on stdout is how it was
let in and the arguments of an event that it heard, as JSON."""

import json
import sys
import threading

from let_in import Client

PATIENCE = 20


def run(url, mode, token):
    client, heard, came = Client(reconnection=False), [], threading.Event()

    def note(*arguments):
        heard.extend(arguments)
        came.set()

    client.on("to-room", note)
    agent = {"User-Agent": "my-app/1.0"}
    client.connect(url, headers=agent, auth={"token": token}, transports=[mode], wait_timeout=PATIENCE)
    client.call("room:join", {"room": "first"}, timeout=PATIENCE)
    print("in the room", flush=True)
    if not came.wait(PATIENCE):
        raise SystemExit("nothing came")
    client.disconnect()
    print(json.dumps({"heard": heard, "letInWith": list(client.let_in)}))


run(*sys.argv[1:])
