"""How often a client waits for Redis, told by its connections: on the wire an answer may come amid a question."""

from __future__ import annotations

from typing import Any

from redis import Redis


class RoundTrips:
    """Counts the turns from sending to reading, on every connection that a client makes from now on."""

    def __init__(self, client: Redis) -> None:
        self.count = 0
        trips = self

        class Counting(client.connection_pool.connection_class):  # type: ignore[name-defined,misc]
            """A connection that tells when it turns to reading."""

            is_sending = False

            def send_packed_command(self, *args: Any, **options: Any) -> None:
                """Called with one command or many."""
                self.is_sending = True
                super().send_packed_command(*args, **options)

            def read_response(self, *args: Any, **options: Any) -> Any:
                """Called for each answer."""
                trips.count += self.is_sending
                self.is_sending = False
                return super().read_response(*args, **options)

        client.connection_pool.connection_class = Counting
