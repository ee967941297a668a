"""Lists of brokers and what kombu makes of them, one member after the other, for RedisListTests.

A line has the list, and for each member host, port, user, password, database and whether it goes by TLS,
with tabs between.
"""

from __future__ import annotations

import itertools

from kombu import Connection

FIRST = (
    "redis://a",
    "redis://a/2",
    "redis://:pw@a:7000/2",
    "redis://me:p%40w@a:7000",
    "rediss://a:7001/3",
    "redis://a/1?ssl_cert_reqs=required",
)
OTHER = (
    "redis://b",
    "redis://b/",
    "redis://:other@b/4",
    "redis://b:7002",
    "rediss://me@b/5",
    "redis://b?ssl_cert_reqs=none",
    "b",
)


def member(connection: Connection) -> str:
    fields = (
        connection.hostname,
        connection.port or 6379,
        connection.userid or "",
        connection.password or "",
        0 if connection.virtual_host == "/" else connection.virtual_host,
        "tls" if connection.ssl else "",
    )
    return "|".join(map(str, fields))


def main() -> None:
    lists = [*itertools.product(FIRST), *itertools.product(FIRST, OTHER)]
    # A host alone after two others is left out: kombu then mixes those.
    lists += itertools.product(FIRST, OTHER[:-1], OTHER[:-1])
    for urls in lists:
        connection = Connection(";".join(urls))
        members = [member(connection)]
        for _ in urls[1:]:
            connection.maybe_switch_next()
            members.append(member(connection))
        print(";".join(urls), *members, sep="\t")


main()
