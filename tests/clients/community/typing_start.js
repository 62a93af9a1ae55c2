socket.emit('typing_start', {
  thread_id: 456
});
