import io from 'socket.io-client';

const socket = io('https://realtime.mechamap.com', {
  transports: ['websocket', 'polling'],
  secure: true
});

socket.on('connect', () => {
  socket.emit('authenticate', { token: 'sanctum_token' });
});

socket.on('notification', (data) => {
  console.log('New notification:', data);
});
