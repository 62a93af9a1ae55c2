// The message of the topic is shown, and no message of another topic or event.
ws.addEventListener("open", async () => {
  await until("the reply to the subscribe", async () => {
    if (denied.length > 0) report({});
    const answer = await fetch(`${HUB}/api/rooms/orders-7`, { headers: { "X-API-Key": KEY } });
    return answer.status === 200;
  });
  await trigger("orders-8", "paid", { order: 8 });
  await trigger("orders-7", "shipped", { order: 0 });
  await trigger("orders-7", "paid", { order: 7 });
  await until("the message arrives", () => shown.length > 0);
  report({});
});
