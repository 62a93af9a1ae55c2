"""python burst.py URL TOKEN COUNT TRANSPORTS: receives COUNT notifications and then COUNT `burst` events with bytes. The
last line on stdout is the received data, as JSON."""

import json
import sys
import threading

import socketio

TIMEOUT = 20


def run(url, token, count, transports):
    client, received, lost, done = socketio.Client(reconnection=False), {"notification": [], "burst": []}, [], threading.Event()

    def add(event, value):
        received[event].append(value)
        if len(received["notification"]) == int(count) and event == "notification":
            # 300 ms later, when the client has polled again.
            threading.Timer(0.3, print, ["notified"], {"flush": True}).start()
        if len(received["burst"]) == int(count):
            done.set()

    def on_disconnect(*reason):
        lost.append(str(reason))
        done.set()

    client.on("notification", lambda data, *number: add("notification", data["id"]))
    client.on("burst", lambda data, *number: add("burst", " ".join(str(n) for n in [data["n"], *map(len, data["bytes"])])))
    client.on("disconnect", on_disconnect)
    client.connect(url, auth={"token": token}, transports=transports.split(","), wait_timeout=TIMEOUT)
    done.wait(TIMEOUT)
    if not lost:
        client.call("ping", {}, timeout=TIMEOUT)
    state = lost[0] if lost else "connected"
    client.disconnect()
    print(json.dumps({**received, "state": state}))


run(*sys.argv[1:])
