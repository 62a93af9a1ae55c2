socket.emit('authenticate', {
    token: 'sanctum_token_here'
});
