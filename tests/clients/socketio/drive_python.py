"""python drive_python.py URL MODE TOKEN: drives python-socketio. The last line on stdout is the result, as JSON."""

import json
import sys
import threading

import socketio

TIMEOUT = 20
MODES = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": None}


class RecordingClient:
    """A client that records its events, and waits for them."""

    def __init__(self):
        self.client = socketio.Client(reconnection_delay=0.01, reconnection_delay_max=0.05)
        self.events = []
        self.arrived = threading.Condition()
        self.client.on("*", lambda event, *args: self.add(event, args))
        self.client.on("connect", lambda: self.add("connect", ()))
        self.client.on("disconnect", lambda reason: self.add("disconnect", (reason,)))

    def add(self, event, args):
        with self.arrived:
            self.events.append((event, args))
            self.arrived.notify_all()

    def take(self, event):
        for index, (other, args) in enumerate(self.events):
            if other == event:
                del self.events[index]
                return args
        return None

    def next(self, event):
        found = None

        def check():
            nonlocal found
            found = self.take(event)
            return found is not None

        with self.arrived:
            if not self.arrived.wait_for(check, TIMEOUT):
                raise SystemExit(f"no {event} arrived; received: {self.events}")
        return found

    def connect(self, url, mode, token):
        self.client.connect(url, auth={"token": token}, transports=MODES[mode], wait_timeout=TIMEOUT)
        self.next("connect")
        assert self.next("connected")[0]["socketId"] == self.client.get_sid()
        self.next("system:welcome")

    def ask(self, event, data=None):
        return self.client.call(event, data, timeout=TIMEOUT)


def bad_token(url):
    client, errors = socketio.Client(), []
    client.on("connect_error", errors.append)
    try:
        client.connect(url, auth={"token": "nonsense"}, wait_timeout=TIMEOUT)
    except socketio.exceptions.ConnectionError:
        return errors
    return "connected"


def run(url, mode, token):
    result = {"badToken": bad_token(url)}
    first = RecordingClient()
    first.connect(url, mode, token)
    result["transport"] = first.client.transport()
    result["ping"] = first.ask("ping") or "nothing"
    result["joined"] = first.ask("room:join", {"room": "first"})
    result["joinedEvent"] = first.next("room:join:ack")[0]
    first.client.emit("room:join", {"room": "second"})
    result["joinedSecond"] = first.next("room:join:ack")[0]

    # The test's peer replies from here on.
    payload = {"text": "ünï ☃", "list": [1, 2.5, None]}
    result["ack"] = first.ask("Broadcast", {"topic": "first", "payload": payload})
    result["pushed"] = first.next("pushed")
    result["toRoom"] = first.next("to-room")
    result["broadcast"] = first.next("Broadcast")[0]
    payload = first.next("Broadcast")[0]["payload"]
    result["bytes"] = [list(payload["one"]), list(payload["two"][0])]

    other = RecordingClient()
    other.connect(url, mode, token)
    other.ask("room:join", {"room": "first"})
    result["bytesAck"] = first.ask("Broadcast", {"topic": "first", "payload": bytes([0, 1, 2, 254, 255])})
    result["otherBytes"] = list(other.next("Broadcast")[0]["payload"])
    other.client.disconnect()

    result["left"] = first.ask("room:leave", {"room": "second"})

    # After a lost connection the client reconnects by itself.
    sid = first.client.get_sid()
    if first.client.transport() == "websocket":
        first.client.eio.ws.sock.shutdown(2)
    else:
        first.client.eio.disconnect(abort=True)
        if not first.client.connected:
            first.take("connect")
    result["lostReason"] = first.next("disconnect")[0]
    if result["lostReason"] == "client disconnect":
        first.client.connect(url, auth={"token": token}, transports=MODES[mode], wait_timeout=TIMEOUT)
    first.next("connect")
    result["reconnected"] = first.client.get_sid() != sid and first.ask("room:join", {"room": "first"})["success"]
    first.client.disconnect()
    result["disconnectReason"] = first.next("disconnect")[0]
    print(json.dumps(result))


run(*sys.argv[1:])
