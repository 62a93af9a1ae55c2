"""python-socketio's client, which remembers how it was let in."""

import socketio


class Client(socketio.Client):
    """Remembers how it was let in."""

    let_in = None

    def _handle_connect(self, namespace, data):
        self.let_in = data
        super()._handle_connect(namespace, data)
