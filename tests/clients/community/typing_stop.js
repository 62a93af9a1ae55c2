socket.emit('typing_stop', {
  thread_id: 456
});
