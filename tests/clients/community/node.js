const io = require('socket.io-client');

const socket = io('https://realtime.mechamap.com');
socket.emit('authenticate', { token: 'sanctum_token' });
