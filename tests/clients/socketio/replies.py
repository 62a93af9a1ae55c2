"""python replies.py URL MODE TOKEN REQUESTS: sends [event, data] pairs on /chat. The last line on stdout is their acks, as
JSON."""

import json
import sys

import socketio

TIMEOUT = 20
NAMESPACE = "/chat"


def run(url, mode, token, requests):
    client = socketio.Client(reconnection=False)
    client.connect(url, auth={"token": token}, transports=[mode], namespaces=[NAMESPACE], wait_timeout=TIMEOUT)
    ask = lambda event, data: client.call(event, data, namespace=NAMESPACE, timeout=TIMEOUT)
    replies = [ask(event, data) for event, data in json.loads(requests)]
    client.disconnect()
    print(json.dumps({"replies": replies}))


run(*sys.argv[1:])
