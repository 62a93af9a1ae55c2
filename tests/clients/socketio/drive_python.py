"""python drive_python.py URL MODE TOKEN: drives python-socketio; the last line on stdout is what it heard, as JSON."""

import json
import sys
import threading

import socketio

PATIENCE = 20
MODES = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": None}


class Ears:
    """A client, all that it hears, and waiting for more of it."""

    def __init__(self):
        self.client = socketio.Client(reconnection_delay=0.01, reconnection_delay_max=0.05)
        self.seen = []
        self.came = threading.Condition()
        self.client.on("*", lambda event, *args: self.note(event, args))
        self.client.on("connect", lambda: self.note("connect", ()))
        self.client.on("disconnect", lambda reason: self.note("disconnect", (reason,)))

    def note(self, event, args):
        with self.came:
            self.seen.append((event, args))
            self.came.notify_all()

    def take(self, event):
        for at, (other, args) in enumerate(self.seen):
            if other == event:
                del self.seen[at]
                return args
        return None

    def next(self, event):
        found = None

        def look():
            nonlocal found
            found = self.take(event)
            return found is not None

        with self.came:
            if not self.came.wait_for(look, PATIENCE):
                raise SystemExit(f"no {event} came; seen: {self.seen}")
        return found

    def enter(self, url, mode, token):
        self.client.connect(url, auth={"token": token}, transports=MODES[mode], wait_timeout=PATIENCE)
        self.next("connect")
        assert self.next("connected")[0]["socketId"] == self.client.get_sid()
        self.next("system:welcome")

    def ask(self, event, data=None):
        return self.client.call(event, data, timeout=PATIENCE)


def bad_token(url):
    client, told = socketio.Client(), []
    client.on("connect_error", told.append)
    try:
        client.connect(url, auth={"token": "nonsense"}, wait_timeout=PATIENCE)
    except socketio.exceptions.ConnectionError:
        return told
    return "connected"


def run(url, mode, token):
    heard = {"badToken": bad_token(url)}
    ears = Ears()
    ears.enter(url, mode, token)
    heard["transport"] = ears.client.transport()
    heard["ping"] = ears.ask("ping") or "nothing"
    heard["joined"] = ears.ask("room:join", {"room": "first"})
    heard["joinedEvent"] = ears.next("room:join:ack")[0]
    ears.client.emit("room:join", {"room": "second"})
    heard["joinedSecond"] = ears.next("room:join:ack")[0]

    # The other side answers this from here on.
    payload = {"text": "ünï ☃", "list": [1, 2.5, None]}
    heard["ack"] = ears.ask("Broadcast", {"topic": "first", "payload": payload})
    heard["pushed"] = ears.next("pushed")
    heard["toRoom"] = ears.next("to-room")
    heard["broadcast"] = ears.next("Broadcast")[0]
    payload = ears.next("Broadcast")[0]["payload"]
    heard["bytes"] = [list(payload["one"]), list(payload["two"][0])]

    other = Ears()
    other.enter(url, mode, token)
    other.ask("room:join", {"room": "first"})
    heard["bytesAck"] = ears.ask("Broadcast", {"topic": "first", "payload": bytes([0, 1, 2, 254, 255])})
    heard["otherBytes"] = list(other.next("Broadcast")[0]["payload"])
    other.client.disconnect()

    heard["left"] = ears.ask("room:leave", {"room": "second"})

    # Goes without meaning to, and comes back by itself.
    first = ears.client.get_sid()
    if ears.client.transport() == "websocket":
        ears.client.eio.ws.sock.shutdown(2)
    else:
        ears.client.eio.disconnect(abort=True)
        if not ears.client.connected:
            ears.take("connect")
    heard["lost"] = ears.next("disconnect")[0]
    if heard["lost"] == "client disconnect":
        ears.client.connect(url, auth={"token": token}, transports=MODES[mode], wait_timeout=PATIENCE)
    ears.next("connect")
    heard["cameBack"] = ears.client.get_sid() != first and ears.ask("room:join", {"room": "first"})["success"]
    ears.client.disconnect()
    heard["went"] = ears.next("disconnect")[0]
    print(json.dumps(heard))


run(*sys.argv[1:])
