socket.emit('register', { userId: 'user-123' });
