socket.emit('debug_mode', { enabled: true });
