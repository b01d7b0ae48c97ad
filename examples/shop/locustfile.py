"""Customers of the shop in app.py, which listen and click: `locust -f examples/shop/locustfile.py --host http://127.0.0.1:8000`."""

import json

from locust import FastHttpUser, between, task

from fanbench_locust import SSEEvent, SSEUser, UserStream


class Customer(SSEUser, FastHttpUser):
    """Logs in, listens to the news and to their own orders, looks around, and buys now and then."""

    wait_time = between(0.5, 2)

    def on_start(self) -> None:
        """Log in, and listen."""
        token = self.client.post("/login").json()["token"]
        self.headers = {"Authorization": f"Bearer {token}"}
        self.shipped = 0
        self.orders = self.listen("/orders/events", name="orders", on_event=self.on_order)
        self.listen("/news", name="news")
        self.orders.wait_connected()

    @classmethod
    def sent_ns(cls, event: SSEEvent) -> int:
        """The shop says when it sent each event, so the table shows their latency."""
        return int(json.loads(event.data)["at_ms"] * 1_000_000)

    def on_order(self, event: SSEEvent, _: UserStream) -> None:
        """Called by the loop that reads all streams, so it must not block; `react` runs what may wait."""
        if json.loads(event.data)["state"] == "shipped":
            self.shipped += 1
            self.react(self.thank)

    def thank(self) -> None:
        """A request that follows from an event."""
        self.client.get("/products", name="/products after shipping")

    @task(3)
    def look(self) -> None:
        """Browse the shop."""
        self.client.get("/products")

    @task
    def buy(self) -> None:
        """Order, and wait until it ships; the table has the duration as `order to shipped`."""
        with self.orders.expect("order to shipped", is_shipped):
            self.client.post("/orders?product=lamp", name="/orders", headers=self.headers)


def is_shipped(event: SSEEvent) -> bool:
    """Whether this is the event that a customer waits for."""
    return bool(json.loads(event.data)["state"] == "shipped")
