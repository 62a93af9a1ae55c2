socket.emit('notification_read', {
  notification_id: 'notif_123'
});
