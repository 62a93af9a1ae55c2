//! The documents' own clients, as printed, against the hub: what a user has today has to work
//! tomorrow without a change. The clients are files beside this one, letter for letter; what drives
//! them is ours.

// The raw document's three: Node, a browser, Python.
mod raw;

// Socket.IO's own clients: Node, a browser, Python.
mod socketio;
