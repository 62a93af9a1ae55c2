// A note reaches the application, a message reaches the client, and a message during a cut follows.
application.listen(Number(port), "127.0.0.1", async () => {
  await sessions("order-7", 1);
  const id = await note({ order: 7, text: "gift" });
  await paid(7);
  await until("the message arrives", () => shown.length === 1);
  socket.io.engine.close();
  await sessions("order-7", 0);
  await paid(7);
  await until("the missed message follows", () => shown.length === 2);
  report({ id, recovered: socket.recovered });
});
