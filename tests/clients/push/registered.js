socket.on('register:ack', (data) => {
  if (data.success) {
    console.log('Registration successful');
  } else {
    console.error('Registration failed:', data.error);
  }
});
