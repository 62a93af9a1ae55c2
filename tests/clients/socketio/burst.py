"""python burst.py URL TOKEN COUNT TRANSPORTS: hears so many notifications and then so many events called `burst` with
bytes; the last line on stdout is what it heard, as JSON."""

import json
import sys
import threading

import socketio

PATIENCE = 20


def run(url, token, count, transports):
    client, heard, lost, done = socketio.Client(reconnection=False), {"notification": [], "burst": []}, [], threading.Event()

    def note(event, what):
        heard[event].append(what)
        if len(heard["notification"]) == int(count) and event == "notification":
            # After a while, in which it has polled again.
            threading.Timer(0.3, print, ["notified"], {"flush": True}).start()
        if len(heard["burst"]) == int(count):
            done.set()

    def on_disconnect(*reason):
        lost.append(str(reason))
        done.set()

    client.on("notification", lambda data, *number: note("notification", data["id"]))
    client.on("burst", lambda data, *number: note("burst", " ".join(str(n) for n in [data["n"], *map(len, data["bytes"])])))
    client.on("disconnect", on_disconnect)
    client.connect(url, auth={"token": token}, transports=transports.split(","), wait_timeout=PATIENCE)
    done.wait(PATIENCE)
    if not lost:
        client.call("ping", {}, timeout=PATIENCE)
    stays = lost[0] if lost else "connected"
    client.disconnect()
    print(json.dumps({**heard, "stays": stays}))


run(*sys.argv[1:])
