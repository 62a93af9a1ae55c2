const socket = io('http://your-server-url', {
  auth: {
    token: 'your-jwt-token'
  }
});
