const socket = io("ws://localhost:3001/chat", {
  auth: {
    token: "your-jwt-token",
  },
});
