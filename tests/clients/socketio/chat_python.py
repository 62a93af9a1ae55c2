"""python chat_python.py URL MODE TOKEN: drives python-socketio on /chat; the last line on stdout is what it heard."""

import json
import sys
import threading
import time

import socketio

PATIENCE = 20
NAMESPACE = "/chat"
MODES = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": None}


class Ears:
    """A client, all that it hears on /chat, and waiting for more of it."""

    def __init__(self, url, mode, token):
        self.client = socketio.Client(reconnection=False)
        self.seen = []
        self.came = threading.Condition()
        self.client.on("*", lambda event, *args: self.note(event, args), namespace=NAMESPACE)
        auth, transports = {"token": token}, MODES[mode]
        self.client.connect(url, auth=auth, transports=transports, namespaces=[NAMESPACE], wait_timeout=PATIENCE)

    def note(self, event, args):
        with self.came:
            self.seen.append((event, args))
            self.came.notify_all()

    def next(self, event):
        def take():
            for at, (other, args) in enumerate(self.seen):
                if other == event:
                    del self.seen[at]
                    return args
            return None

        found = []

        def look():
            args = take()
            if args is not None:
                found.append(args)
            return bool(found)

        with self.came:
            if not self.came.wait_for(look, PATIENCE):
                raise SystemExit(f"no {event} came; seen: {self.seen}")
        return found[0][0]

    def ask(self, event, data):
        return self.client.call(event, data, namespace=NAMESPACE, timeout=PATIENCE)

    def cut(self):
        """Goes without a word on a WebSocket, and with none of Socket.IO's by polling."""
        if self.client.transport() == "websocket":
            self.client.eio.ws.sock.shutdown(2)
        else:
            self.client.eio.disconnect(abort=True)

    def wait_for_queued(self, count):
        """Until so many messages wait for those who were cut off."""
        end = time.monotonic() + PATIENCE
        while self.ask("connection:stats", {})["stats"]["queuedMessages"] != count:
            if time.monotonic() > end:
                raise SystemExit(f"{count} messages were not queued")
            time.sleep(0.02)


def refused(url):
    client, told = socketio.Client(), []
    client.on("connect_error", told.append, namespace=NAMESPACE)
    try:
        client.connect(url, auth={"token": "nonsense"}, namespaces=[NAMESPACE], wait_timeout=PATIENCE)
    except socketio.exceptions.ConnectionError:
        return told
    return "connected"


def run(url, mode, token):
    heard = {"refused": refused(url)}
    ears = Ears(url, mode, token)
    heard["transport"] = ears.client.transport()
    heard["joined"] = ears.ask("join:chat", {"chatId": "general"})
    heard["roomJoined"] = ears.next("room:joined")
    heard["twice"] = ears.ask("join:chat", {"chatId": "general"})
    sent = ears.ask("message:send", {"chatId": "general", "content": "ünï ☃", "type": "text"})
    message = ears.next("message:new")
    heard["own"] = [sent["success"], sent["sentMessage"] == message, message["content"]]
    ears.client.emit("message:typing", {"chatId": "general", "isTyping": True}, namespace=NAMESPACE)
    token_of_session = ears.ask("connection:create-session", {})["recoveryToken"]
    heard["token"] = ears.next("connection:recovery-token")["token"] == token_of_session

    # The other side answers this from here on.
    message = ears.next("message:new")
    confirm = {"chatId": "general", "messageId": message["id"]}
    heard["read"] = ears.ask("message:read", confirm)
    status = ears.ask("message:delivery-status", {"messageId": message["id"]})["status"]
    heard["status"] = [status["deliveredTo"], status["readBy"]]
    ears.cut()

    # And says something more behind that.
    ears = Ears(url, mode, token)
    ears.wait_for_queued(2)
    recovered = ears.ask("connection:recover", {"recoveryToken": token_of_session})
    heard["recovered"] = [recovered["success"], recovered["message"], recovered["session"]["rooms"]]
    heard["queued"] = [message["content"] for message in ears.next("connection:queued-messages")["messages"]]
    history = ears.ask("message:history", {"chatId": "general"})
    heard["history"] = [message["content"] for message in history["messages"]]
    heard["left"] = ears.ask("leave:chat", {"chatId": "general"})
    ears.client.disconnect()
    print(json.dumps(heard))


run(*sys.argv[1:])
