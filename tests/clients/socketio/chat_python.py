"""python chat_python.py URL MODE TOKEN: drives python-socketio on /chat. The last line on stdout is the result, as JSON."""

import json
import sys
import threading
import time

import socketio

TIMEOUT = 20
NAMESPACE = "/chat"
MODES = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": None}


class ChatClient:
    """A client that records its events on /chat, and waits for them."""

    def __init__(self, url, mode, token):
        self.client = socketio.Client(reconnection=False)
        self.events = []
        self.arrived = threading.Condition()
        self.client.on("*", lambda event, *args: self.add(event, args), namespace=NAMESPACE)
        auth, transports = {"token": token}, MODES[mode]
        self.client.connect(url, auth=auth, transports=transports, namespaces=[NAMESPACE], wait_timeout=TIMEOUT)

    def add(self, event, args):
        with self.arrived:
            self.events.append((event, args))
            self.arrived.notify_all()

    def next(self, event):
        def take():
            for index, (other, args) in enumerate(self.events):
                if other == event:
                    del self.events[index]
                    return args
            return None

        found = []

        def check():
            args = take()
            if args is not None:
                found.append(args)
            return bool(found)

        with self.arrived:
            if not self.arrived.wait_for(check, TIMEOUT):
                raise SystemExit(f"no {event} arrived; received: {self.events}")
        return found[0][0]

    def ask(self, event, data):
        return self.client.call(event, data, namespace=NAMESPACE, timeout=TIMEOUT)

    def cut(self):
        """Closes the connection without a Socket.IO packet, on a WebSocket also without a close frame."""
        if self.client.transport() == "websocket":
            self.client.eio.ws.sock.shutdown(2)
        else:
            self.client.eio.disconnect(abort=True)

    def wait_for_queued(self, count):
        """Waits until the hub has stored this number of messages for suspended sessions."""
        deadline = time.monotonic() + TIMEOUT
        while self.ask("connection:stats", {})["stats"]["queuedMessages"] != count:
            if time.monotonic() > deadline:
                raise SystemExit(f"{count} messages were not queued")
            time.sleep(0.02)


def bad_token(url):
    client, errors = socketio.Client(), []
    client.on("connect_error", errors.append, namespace=NAMESPACE)
    try:
        client.connect(url, auth={"token": "nonsense"}, namespaces=[NAMESPACE], wait_timeout=TIMEOUT)
    except socketio.exceptions.ConnectionError:
        return errors
    return "connected"


def run(url, mode, token):
    result = {"badToken": bad_token(url)}
    chat = ChatClient(url, mode, token)
    result["transport"] = chat.client.transport()
    result["joined"] = chat.ask("join:chat", {"chatId": "general"})
    result["roomJoined"] = chat.next("room:joined")
    result["secondJoin"] = chat.ask("join:chat", {"chatId": "general"})
    sent = chat.ask("message:send", {"chatId": "general", "content": "ünï ☃", "type": "text"})
    message = chat.next("message:new")
    result["ownMessage"] = [sent["success"], sent["sentMessage"] == message, message["content"]]
    chat.client.emit("message:typing", {"chatId": "general", "isTyping": True}, namespace=NAMESPACE)
    token_of_session = chat.ask("connection:create-session", {})["recoveryToken"]
    result["token"] = chat.next("connection:recovery-token")["token"] == token_of_session

    # The test's peer replies from here on.
    message = chat.next("message:new")
    confirm = {"chatId": "general", "messageId": message["id"]}
    result["read"] = chat.ask("message:read", confirm)
    status = chat.ask("message:delivery-status", {"messageId": message["id"]})["status"]
    result["status"] = [status["deliveredTo"], status["readBy"]]
    chat.cut()

    # The peer sends two more messages after the disconnect.
    chat = ChatClient(url, mode, token)
    chat.wait_for_queued(2)
    recovered = chat.ask("connection:recover", {"recoveryToken": token_of_session})
    result["recovered"] = [recovered["success"], recovered["message"], recovered["session"]["rooms"]]
    result["queued"] = [message["content"] for message in chat.next("connection:queued-messages")["messages"]]
    history = chat.ask("message:history", {"chatId": "general"})
    result["history"] = [message["content"] for message in history["messages"]]
    result["left"] = chat.ask("leave:chat", {"chatId": "general"})
    chat.client.disconnect()
    print(json.dumps(result))


run(*sys.argv[1:])
