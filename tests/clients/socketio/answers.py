"""python answers.py URL MODE TOKEN REQUESTS: sends [event, data] pairs on /chat and tells what acknowledged each; the last
line on stdout is that, as JSON."""

import json
import sys

import socketio

PATIENCE = 20
NAMESPACE = "/chat"


def run(url, mode, token, requests):
    client = socketio.Client(reconnection=False)
    client.connect(url, auth={"token": token}, transports=[mode], namespaces=[NAMESPACE], wait_timeout=PATIENCE)
    ask = lambda event, data: client.call(event, data, namespace=NAMESPACE, timeout=PATIENCE)
    answers = [ask(event, data) for event, data in json.loads(requests)]
    client.disconnect()
    print(json.dumps({"answers": answers}))


run(*sys.argv[1:])
