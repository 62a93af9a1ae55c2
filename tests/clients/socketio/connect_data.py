"""python-socketio's client with the data of its CONNECT reply."""

import socketio


class Client(socketio.Client):
    """Keeps the data of its CONNECT reply."""

    connect_data = None

    def _handle_connect(self, namespace, data):
        self.connect_data = data
        super()._handle_connect(namespace, data)
